"""Heartbeats: a session cut into intervals of run time, so that it counts while it runs and not only at its end."""

from __future__ import annotations

import math
from dataclasses import dataclass

INTERVAL_S = 10.0
"""Players report every 10 to 30 s; the shortest of these, as sessions are short here."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What happened from `start_s` to `end_s` (seconds of the run).

    `started`: whether a first frame was shown by then. `stalled`: whether playback was stalled at its end. `stalls`:
    how many began.
    """

    start_s: float
    end_s: float
    started: bool
    stalled: bool
    played_s: float
    stall_s: float
    stalls: int


class Heartbeats:
    """Differences of a session's totals, at multiples of `INTERVAL_S` and at its end."""

    def __init__(self, start_s: float) -> None:
        self._start_s = start_s
        self._played_s = self._stall_s = 0.0
        self._stalls = 0
        self.next_s = INTERVAL_S * (math.floor(start_s / INTERVAL_S) + 1)
        """When the next interval ends."""
        self.ended: list[Heartbeat] = []

    def cut(
        self,
        end_s: float,
        *,
        started: bool = False,
        stalled: bool = False,
        played_s: float = 0.0,
        stall_s: float = 0.0,
        stalls: int = 0,
    ) -> None:
        """End the interval. `played_s`, `stall_s` and `stalls` are totals of the session."""
        self.ended.append(
            Heartbeat(
                self._start_s,
                end_s,
                started,
                stalled,
                played_s - self._played_s,
                stall_s - self._stall_s,
                stalls - self._stalls,
            )
        )
        self._start_s, self._played_s, self._stall_s, self._stalls = end_s, played_s, stall_s, stalls
        while self.next_s <= end_s:
            self.next_s += INTERVAL_S
