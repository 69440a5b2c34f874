"""`Processor`: the cores of a node. Work waits for a free one, first come first served.

The same in both worlds: in virtual time exact, live as exact as the machine's timers. Live, a core is a permit that
is held for the time of the work; no real processor time is used up.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field

from harness.diagnostics import Code
from harness.errors import InvalidValue
from harness.faults.exposure import Cause, Effects, Exposure
from harness.faults.primitives import HostIdentity
from harness.runtime.causation import current_cause
from harness.system.processor import SLICE_S, ProcessorSlice


@dataclass(slots=True, eq=False)
class _Work:
    """A piece of work. `left_s`: at full speed, when `ends_s` was last set. `ends_s`: infinite while it is paused."""

    left_s: float
    asked_s: float
    done: asyncio.Future[None] = field(repr=False)
    counts: bool = True
    ends_s: float = math.inf


@dataclass(slots=True, eq=False)
class Limit:
    """A limit in force. `cores`: the share of one core.

    `lost_s`: processor time that work wanted and did not get because of it, in core seconds.
    `background_lost_s`: the same of requests that no client caused. The lowest of several limits takes it all.
    """

    cores: float
    lost_s: float = 0.0
    background_lost_s: float = 0.0

    def exposure(self) -> Exposure:
        return Exposure(
            throttled_ms=round(self.lost_s * 1000),
            background=Effects(throttled_ms=round(self.background_lost_s * 1000)),
        )


class Processor:
    """`cores` of a node. `now`: seconds of the run. `record` gets a row for each second of the run, from the first
    use of the processor on.

    InvalidValue for a number of cores below 1.
    """

    def __init__(
        self,
        identity: HostIdentity,
        cores: int,
        loop: asyncio.AbstractEventLoop,
        now: Callable[[], float],
        record: Callable[[ProcessorSlice], None],
    ) -> None:
        if cores < 1:
            raise InvalidValue(Code.OUT_OF_RANGE, f"found {cores} cores", "at least 1")
        self._identity = identity
        self._cores = cores
        self._loop = loop
        self._now = now
        self._record = record
        self._running: dict[_Work, None] = {}
        self._waiting: dict[_Work, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._limits: dict[Limit, None] = {}
        self._paused = False
        self._speed = 1.0
        self._slice: _Slice | None = None
        self._accounted_s = 0.0

    # ------------------------------------------------------------------ work

    async def work(self, seconds: float, *, start_within_s: float | None = None) -> None:
        """Use a core for so long, once one is free. Cancelled while it waits, it is not done; cancelled after that,
        the core is used to the end, as by code that does not await. TimeoutError: it has not begun within
        `start_within_s`, and is not done. InvalidValue for what is not a finite time >= 0.
        """
        if not 0 <= seconds < math.inf:
            raise InvalidValue(Code.OUT_OF_RANGE, f"found {seconds} s of work", "a finite time, at least 0 s")
        if start_within_s is not None and start_within_s < 0:
            raise TimeoutError("no time is left to begin the work in")
        if seconds == 0:
            return
        now_s = self._account()
        if self._slice is None and now_s >= 0:
            self._slice, self._accounted_s = _Slice(math.floor(now_s / SLICE_S) * SLICE_S), now_s
        work = _Work(seconds, now_s, self._loop.create_future(), current_cause() is not Cause.BACKGROUND)
        self._waiting[work] = None
        self._update(now_s)
        give_up = None
        if start_within_s is not None and work in self._waiting:
            give_up = self._loop.call_later(start_within_s, self._give_up, work)
        try:
            await work.done
        except asyncio.CancelledError:
            self._withdraw(work)
            raise
        finally:
            if give_up is not None:
                give_up.cancel()

    def _give_up(self, work: _Work) -> None:
        if self._withdraw(work) and not work.done.done():
            work.done.set_exception(TimeoutError("no core was free in time"))

    def _withdraw(self, work: _Work) -> bool:
        """Take it out of the queue; whether it was there."""
        if work not in self._waiting:
            return False
        self._account()
        del self._waiting[work]
        return True

    def clear(self) -> None:
        """The process is dead: nothing of its work goes on."""
        now_s = self._account()
        self._running.clear()
        self._waiting.clear()
        self._update(now_s)

    def _update(self, now_s: float) -> None:
        """Give free cores to what waits longest, and set a timer for what is done first."""
        running, waiting = self._running, self._waiting
        # What ran when a limit began shares it; nothing more begins before that is done.
        cores = 0 if self._paused else 1 if self._limits else self._cores
        while waiting and len(running) < cores:
            work = next(iter(waiting))
            del waiting[work]
            running[work] = None
            if self._slice is not None:
                self._slice.waits_s.append(now_s - work.asked_s)
        speed = self._speed_now()
        for work in running:
            if speed != self._speed and work.ends_s < math.inf:
                work.left_s, work.ends_s = (work.ends_s - now_s) * self._speed, math.inf
            if work.ends_s == math.inf and speed > 0:
                work.ends_s = now_s + work.left_s / speed
        self._speed = speed
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        ends_s = min((work.ends_s for work in running), default=math.inf)
        if ends_s < math.inf:
            # It belongs to the machine, not to the process that may be paused or killed.
            delay_s = max(0.0, ends_s - now_s)
            self._timer = self._loop.call_later(delay_s, self._finish, ends_s, context=Context())

    def _speed_now(self) -> float:
        """Of each piece of work that runs."""
        if self._paused:
            return 0.0
        if not self._limits:
            return 1.0
        return min(limit.cores for limit in self._limits) / max(1, len(self._running))

    def _finish(self, ends_s: float) -> None:
        self._timer = None
        now_s = self._account()
        for work in [one for one in self._running if one.ends_s <= ends_s]:
            del self._running[work]
            if not work.done.done():
                work.done.set_result(None)
        self._update(now_s)

    # ------------------------------------------------------------------ faults

    def pause(self) -> None:
        """Nothing is worked on until `resume`."""
        now_s = self._account()
        self._paused = True
        self._update(now_s)

    def resume(self) -> None:
        now_s = self._account()
        self._paused = False
        self._update(now_s)

    def limit(self, cores: float) -> Limit:
        """Give the node this share of one core until `unlimit`. The lowest of several counts."""
        limit, now_s = Limit(cores), self._account()
        self._limits[limit] = None
        self._update(now_s)
        return limit

    def unlimit(self, limit: Limit) -> None:
        now_s = self._account()
        self._limits.pop(limit, None)
        self._update(now_s)

    # ------------------------------------------------------------------ what is recorded

    def flush(self) -> None:
        """Record the seconds that are over."""
        self._account()

    def _account(self) -> float:
        """Add the time since the last call to the seconds that it lies in. Returns the time."""
        now_s = self._now()
        if self._slice is None:
            return now_s
        running, waiting = len(self._running), len(self._waiting)
        busy = 0 if self._paused else running
        limit = min(self._limits, key=lambda each: each.cores, default=None)
        if limit is not None and (wanted := running + waiting):
            span_s = now_s - self._accounted_s
            lost_s = span_s * max(0.0, min(self._cores, wanted) - limit.cores)
            counted = sum(work.counts for each in (self._running, self._waiting) for work in each) / wanted
            limit.lost_s += lost_s * counted
            limit.background_lost_s += lost_s * (1 - counted)
        while now_s >= (end_s := self._slice.start_s + SLICE_S):
            self._slice.add(end_s - self._accounted_s, busy, waiting)
            self._record(self._slice.row(self._identity, self._cores, end_s))
            self._slice, self._accounted_s = _Slice(end_s), end_s
        self._slice.add(now_s - self._accounted_s, busy, waiting)
        self._accounted_s = now_s
        return now_s


@dataclass(slots=True)
class _Slice:
    """What one second adds up to."""

    start_s: float
    busy_core_s: float = 0.0
    waiting_s: float = 0.0
    queue_max: int = 0
    waits_s: list[float] = field(default_factory=list)

    def add(self, span_s: float, busy: int, waiting: int) -> None:
        self.busy_core_s += span_s * busy
        self.waiting_s += span_s * waiting
        self.queue_max = max(self.queue_max, waiting)

    def row(self, identity: HostIdentity, cores: int, end_s: float) -> ProcessorSlice:
        span_s, waits_s = end_s - self.start_s, self.waits_s
        return ProcessorSlice(
            t_s=self.start_s,
            node=identity.name,
            role=identity.role,
            zone=identity.zone,
            cores=cores,
            utilisation=min(1.0, self.busy_core_s / (span_s * cores)),
            queue=self.waiting_s / span_s,
            queue_max=self.queue_max,
            started=len(waits_s),
            waited_s=sum(waits_s) / len(waits_s) if waits_s else None,
            waited_max_s=max(waits_s, default=0.0),
        )
