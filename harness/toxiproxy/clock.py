"""The clock that delays are measured with, and timers that ring within some ten microseconds.

The timers of event loops ring on whole milliseconds (epoll's unit), and uvloop's clock only counts those: too coarse
for the latency of a link, and what rings too early has to be waited for once more, at the cost of processor time. One
timerfd (timerfd_create(2)) for all timers of a server is as exact as the kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import os
import time
from collections.abc import Callable
from typing import Any, Protocol

_os: Any = os  # timerfd is newer than the Python that mypy checks for
_FEW = 64  # so many cancelled timers are not worth tidying up


class Handle(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """What toxics need of time; an event loop has it too."""

    def time(self) -> float:
        """Seconds, monotonic."""
        ...

    def call_at(self, when: float, callback: Callable[[], object]) -> Handle: ...


class Timer:
    """A call at a time, until it is cancelled."""

    __slots__ = ("_cancelled", "call", "when_s")

    def __init__(self, when_s: float, call: Callable[[], object], cancelled: Callable[[], None]) -> None:
        self.when_s = when_s
        self.call: Callable[[], object] | None = call
        self._cancelled = cancelled

    def __lt__(self, other: Timer) -> bool:
        return self.when_s < other.when_s

    def cancel(self) -> None:
        if self.call is not None:
            self.call = None
            self._cancelled()


class FineClock:
    """The machine's monotonic clock, with timers on the loop. `close` it, or it leaks a descriptor."""

    available = hasattr(os, "timerfd_create")  # Linux, from Python 3.13 on

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._fd: int = _os.timerfd_create(time.CLOCK_MONOTONIC, flags=_os.TFD_NONBLOCK | _os.TFD_CLOEXEC)
        self._timers: list[Timer] = []
        self._armed_s: float | None = None
        self._cancelled = 0
        loop.add_reader(self._fd, self._ring)

    def time(self) -> float:
        return time.monotonic()  # noqa: TID251 (real time is what proxies delay)

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        timer = Timer(when, callback, self._tidy)
        heapq.heappush(self._timers, timer)
        if self._timers[0] is timer:
            self._arm()
        return timer

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        self._timers.clear()
        os.close(self._fd)

    def _tidy(self) -> None:
        """A cancelled timer stays until it is due, or until there are too many of them."""
        self._cancelled += 1
        if self._cancelled > max(_FEW, len(self._timers) // 2):
            self._timers = [timer for timer in self._timers if timer.call is not None]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it was armed anew meanwhile
            os.read(self._fd, 8)
        self._armed_s = None
        now_s = self.time()
        while self._timers and self._timers[0].when_s <= now_s:
            timer = heapq.heappop(self._timers)
            if timer.call is None:
                self._cancelled -= 1
                continue
            call, timer.call = timer.call, None
            call()
        self._arm()

    def _arm(self) -> None:
        if self._timers and self._timers[0].when_s != self._armed_s:
            self._armed_s = when_s = self._timers[0].when_s
            # A time of 0 would disarm it; one in the past rings at once.
            _os.timerfd_settime(self._fd, flags=_os.TFD_TIMER_ABSTIME, initial=max(when_s, 1e-9))


def clock_of(loop: asyncio.AbstractEventLoop) -> FineClock | asyncio.AbstractEventLoop:
    """The finest clock that there is for this loop."""
    return FineClock(loop) if FineClock.available else loop
