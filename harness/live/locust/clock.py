"""The harness's clock on another machine: its offset from this machine's, and a clock that follows it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from harness.live.host import LiveClock

KEEP = 20
"""An estimate uses the last exchanges only, because clocks drift."""

SLEW = 500e-6
"""How much faster or slower a steered clock may run; crystals are wrong by less than 100 parts in a million."""


class OffsetEstimate:
    """What to add to this machine's clock to get the master's, from exchanges of messages.

    As in Cristian's algorithm (Probabilistic clock synchronization, 1989): the master read its clock at some moment
    between ping and pong, so the middle is wrong by at most half of the round trip. Of several exchanges the quickest
    is the best.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._exchanges: deque[tuple[float, float]] = deque(maxlen=KEEP)
        self.sent_s = 0.0
        self.waiting = False

    def start_exchange(self) -> None:
        """Note when a ping is sent."""
        self.sent_s = self._now()
        self.waiting = True

    def finish_exchange(self, sent_s: float, master_s: float) -> None:
        """Take the pong to the ping sent at `sent_s`. One to an earlier ping is ignored."""
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
        """The greatest possible error of the offset."""
        return min(self._exchanges)[0] / 2


class SteeredClock(LiveClock):
    """Run time on another machine. It never jumps: it runs a little faster or slower until it is right."""

    def __init__(self, origin_s: float, offset_s: float, time: Callable[[], float] | None = None) -> None:
        super().__init__(origin_s)
        self._time = time or asyncio.get_running_loop().time
        self._steered_at_s = self._time()
        self._offset_s = self._target_offset_s = offset_s

    def steer(self, offset_s: float) -> None:
        """Approach another offset."""
        self._offset_s, self._steered_at_s = self._offset_at(self._time()), self._time()
        self._target_offset_s = offset_s

    def _offset_at(self, time_s: float) -> float:
        max_step_s = SLEW * (time_s - self._steered_at_s)
        return self._offset_s + max(-max_step_s, min(max_step_s, self._target_offset_s - self._offset_s))

    def now(self) -> float:
        time_s = self._time()
        return time_s + self._offset_at(time_s) - self._origin_s
