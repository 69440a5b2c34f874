"""The faults of one arm: each applied at its time, undone at its end, and undone in any case."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal

from harness.engine.events import Change
from harness.engine.plan import PlannedFault
from harness.engine.triggers import EventWatch
from harness.experiment.model import Trigger
from harness.faults.exposure import Exposure
from harness.faults.primitives import Applied, FaultFailed, Primitives
from harness.history.metadata import FaultRecord
from harness.system import Clock

MAX_APPLY_S = 10.0
"""How long a fault that is being applied may take when the run breaks off; then applying is cancelled."""

type OnChange = Callable[[PlannedFault, Change], None]


@dataclass(slots=True)
class _FaultLog:
    """What has happened to a planned fault so far."""

    planned: PlannedFault
    applying: asyncio.Task[None] | None = None
    undoing: asyncio.Task[None] | None = None
    applied: Applied | None = None
    applied_at_s: float | None = None
    undone_at_s: float | None = None
    error: str | None = None


class Timeline:
    """Times are those of `clock`; the load begins at `begin_s`. `on_change` is called with every change.

    At one moment undoing comes before applying, and what was applied last is undone first, so that one
    fault may follow another on the same target. A fault that cannot be applied or undone stops nothing:
    its record has the error. A fault with `when` begins at its event, which `watch` sees; when `end` is called it waits
    no longer, and one that is in force is undone.
    """

    def __init__(
        self,
        planned: Sequence[PlannedFault],
        primitives: Primitives,
        clock: Clock,
        begin_s: float,
        on_change: OnChange,
        watch: EventWatch | None = None,
    ) -> None:
        self._logs = [_FaultLog(fault) for fault in planned]
        self._primitives = primitives
        self._clock = clock
        self._begin_s = begin_s
        self._on_change = on_change
        self._watch = watch or EventWatch()
        self._over = asyncio.Event()
        self._triggered: list[asyncio.Task[None]] = []
        self.errors: list[Exception] = []
        """What `on_change` has raised."""

    async def run(self) -> None:
        """Apply and undo all faults at their times.

        When it breaks off, whatever is in force is undone first, the last applied first; what is just being applied
        gets `MAX_APPLY_S` to finish, for what is half applied has no undo yet.
        """
        # Changes are tasks, so that a slow one delays no other. They end within the group, also when it breaks off.
        async with asyncio.TaskGroup() as changes:
            try:
                await self._follow(changes)
            except (asyncio.CancelledError, Exception):
                await self._break_off(changes)
                raise

    def end(self) -> None:
        """The load is over: nothing more will happen that a fault could wait for."""
        self._over.set()

    def records(self) -> tuple[FaultRecord, ...]:
        """What has happened so far, in the order of the timeline."""
        return tuple(_record(log) for log in self._logs)

    def _steps(self) -> Iterator[tuple[float, Literal["apply", "undo"], _FaultLog]]:
        # By time; at one time undoing (0), the latest of the timeline first, then applying (1). A fault of no
        # length is undone after it was applied (2).
        steps: list[tuple[tuple[float, int, int], Literal["apply", "undo"], _FaultLog]] = []
        for index, log in enumerate(self._logs):
            fault = log.planned
            if fault.fault.when is not None:
                continue
            steps.append(((fault.at_s, 1, index), "apply", log))
            steps.append(((fault.until_s, 0 if fault.until_s > fault.at_s else 2, -index), "undo", log))
        for (at_s, _, _), act, log in sorted(steps, key=itemgetter(0)):
            yield at_s, act, log

    async def _follow(self, changes: asyncio.TaskGroup) -> None:
        self._triggered = [
            changes.create_task(self._follow_event(changes, log, log.planned.fault.when))
            for log in self._logs
            if log.planned.fault.when is not None
        ]
        for at_s, act, log in self._steps():
            wait_s = self._begin_s + at_s - self._clock.now()
            if wait_s > 0:
                await self._clock.sleep(wait_s)
            if act == "apply":
                log.applying = changes.create_task(self._apply(log), name=f"apply:{log.planned.name}")
            else:
                log.undoing = changes.create_task(self._undo(log), name=f"undo:{log.planned.name}")
        if self._triggered:
            await asyncio.wait(self._triggered)
        await self._settle()

    async def _follow_event(self, changes: asyncio.TaskGroup, log: _FaultLog, trigger: Trigger) -> None:
        """Apply a fault at its event, and undo it at its end."""
        not_before_s = self._begin_s + log.planned.at_s
        if not await self._before_end(self._watch.wait_for(trigger, not_before_s)):
            return
        if trigger.after and not await self._before_end(self._clock.sleep(trigger.after)):
            return
        log.applying = changes.create_task(self._apply(log), name=f"apply:{log.planned.name}")
        await asyncio.wait([log.applying])
        await self._before_end(self._clock.sleep(log.planned.fault.lasts_s))
        log.undoing = changes.create_task(self._undo(log), name=f"undo:{log.planned.name}")

    async def _before_end(self, work: Coroutine[Any, Any, None]) -> bool:
        """Whether the work is done before the load is over; then it is cancelled."""
        tasks = [asyncio.create_task(work), asyncio.create_task(self._over.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0].done():
                tasks[0].result()
            return tasks[0].done()
        finally:
            for task in tasks:
                task.cancel()

    async def _break_off(self, changes: asyncio.TaskGroup) -> None:
        for task in self._triggered:
            task.cancel()
        applying = [log.applying for log in self._logs if log.applying is not None]
        if applying:
            await asyncio.wait(applying, timeout=MAX_APPLY_S)
            for task in applying:
                task.cancel()
            await asyncio.wait(applying)
        for log in reversed(self._logs):
            if log.applied is not None and log.undoing is None:
                log.undoing = changes.create_task(self._undo(log), name=f"undo:{log.planned.name}")
        await self._settle()

    async def _settle(self) -> None:
        tasks = [task for log in self._logs for task in (log.applying, log.undoing) if task is not None]
        if tasks:
            await asyncio.wait(tasks)

    async def _apply(self, log: _FaultLog) -> None:
        # In real time it has effects before it is done: whatever follows this moment may come from it.
        begun_s = self._clock.now()
        try:
            log.applied = await log.planned.fault.apply(log.planned.target, self._primitives)
        except asyncio.CancelledError:
            log.error = "could not be applied: the run ended before it was done"
        except FaultFailed as error:
            log.error = f"could not be applied: {error}"
        except Exception as error:  # whatever it is, it is no pass
            log.error = f"could not be applied: {type(error).__name__}: {error}"
        else:
            log.applied_at_s = begun_s
        self._report(log.planned, "failed" if log.applied is None else "applied")

    async def _undo(self, log: _FaultLog) -> None:
        if log.applying is not None and not log.applying.done():
            await asyncio.wait([log.applying])
        if log.applied is None:
            return
        # It ends when it is undone: a node that is started again and warms up is out of order, not well again.
        begun_s = self._clock.now()
        try:
            await log.applied.undo()
        except FaultFailed as error:
            log.error = f"could not be undone: {error}"
        except Exception as error:
            log.error = f"could not be undone: {type(error).__name__}: {error}"
        else:
            log.undone_at_s = begun_s
        self._report(log.planned, "failed" if log.undone_at_s is None else "undone")

    def _report(self, planned: PlannedFault, change: Change) -> None:
        try:
            self._on_change(planned, change)
        except Exception as error:
            self.errors.append(error)


def never_applied(planned: Sequence[PlannedFault]) -> tuple[FaultRecord, ...]:
    """The records of faults when the run ends before them."""
    return tuple(_record(_FaultLog(fault)) for fault in planned)


def _record(log: _FaultLog) -> FaultRecord:
    exposure = Exposure() if log.applied is None else log.applied.exposure()
    return FaultRecord(
        name=log.planned.name,
        fault=log.planned.fault.fault,
        targets=log.planned.target.names,
        at_s=log.planned.at_s,
        for_s=log.planned.fault.lasts_s,
        applied_at_s=log.applied_at_s,
        undone_at_s=log.undone_at_s,
        exposure=exposure,
        error=log.error,
        when=None if log.planned.fault.when is None else log.planned.fault.when.describe(),
    )
