"""The harness's clock on another machine: how far its monotonic clock is from this one's, and a clock that follows."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from harness.live.host import LiveClock

KEEP = 20
"""Exchanges that an estimate is made of: the last ones, for clocks drift."""

SLEW = 500e-6
"""How much faster or slower a steered clock may run; crystals are wrong by less than 100 parts in a million."""


class Estimate:
    """What to add to this machine's clock to get the master's, from exchanges of messages.

    As in Cristian's algorithm (Probabilistic clock synchronization, 1989): the master's answer was made somewhere
    between question and answer, so the middle is wrong by at most half of the round trip. Of several exchanges the
    quickest is the best.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._exchanges: deque[tuple[float, float]] = deque(maxlen=KEEP)
        self.sent_s = 0.0
        self.waiting = False

    def asked(self) -> None:
        self.sent_s = self._now()
        self.waiting = True

    def answered(self, sent_s: float, master_s: float) -> None:
        """The answer to the question that was sent at `sent_s`. One that comes too late counts nothing."""
        if not self.waiting or sent_s != self.sent_s:
            return
        round_trip_s = self._now() - sent_s
        self._exchanges.append((round_trip_s, master_s - (sent_s + round_trip_s / 2)))
        self.waiting = False

    @property
    def offset_s(self) -> float:
        return min(self._exchanges)[1]

    @property
    def uncertain_s(self) -> float:
        """The offset is right give or take so much."""
        return min(self._exchanges)[0] / 2


class SteeredClock(LiveClock):
    """Run time on another machine. It never jumps: it runs a little faster or slower until it is right."""

    def __init__(self, origin_s: float, offset_s: float, time: Callable[[], float] | None = None) -> None:
        super().__init__(origin_s)
        self._time = time or asyncio.get_running_loop().time
        self._at_s = self._time()
        self._offset_s = self._aim_s = offset_s

    def steer(self, offset_s: float) -> None:
        """Go towards another offset."""
        self._offset_s, self._at_s = self._offset_now(self._time()), self._time()
        self._aim_s = offset_s

    def _offset_now(self, time_s: float) -> float:
        most_s = SLEW * (time_s - self._at_s)
        return self._offset_s + max(-most_s, min(most_s, self._aim_s - self._offset_s))

    def now(self) -> float:
        time_s = self._time()
        return time_s + self._offset_now(time_s) - self._origin_s
