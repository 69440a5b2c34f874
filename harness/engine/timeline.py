"""The faults of one arm: each applied at its time, undone at its end, and undone whatever else happens."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal

from harness.engine.plan import PlannedFault
from harness.faults.primitives import Applied, Exposure, FaultFailed, Primitives
from harness.history.metadata import FaultRecord
from harness.system import Clock

APPLY_S = 10.0
"""How long a fault that is just being applied may go on with it when everything is to be undone."""

type Change = Literal["applied", "undone", "failed"]
type Tell = Callable[[PlannedFault, Change], None]


@dataclass(slots=True)
class _Log:
    """What has become of a planned fault so far."""

    planned: PlannedFault
    applying: asyncio.Task[None] | None = None
    undoing: asyncio.Task[None] | None = None
    applied: Applied | None = None
    applied_at_s: float | None = None
    undone_at_s: float | None = None
    error: str | None = None


class Timeline:
    """Times are those of `clock`; the load begins at `begin_s`. `tell` hears of every change.

    At one moment undoing comes before applying, and what was applied last is undone first, so that one
    fault may follow another on the same target. A fault that cannot be applied or undone stops nothing:
    its record says so.
    """

    def __init__(
        self,
        planned: Sequence[PlannedFault],
        primitives: Primitives,
        clock: Clock,
        begin_s: float,
        tell: Tell,
    ) -> None:
        self._logs = [_Log(fault) for fault in planned]
        self._primitives = primitives
        self._clock = clock
        self._begin_s = begin_s
        self._tell = tell

    async def run(self) -> None:
        """All faults, from the first to the end of the last. When cancelled, `undo_all` is still to be called."""
        for at_s, act, log in self._steps():
            wait_s = self._begin_s + at_s - self._clock.now()
            if wait_s > 0:
                await self._clock.sleep(wait_s)
            if act == "apply":
                log.applying = _task(self._apply(log), f"apply:{log.planned.name}")
            else:
                log.undoing = _task(self._undo(log), f"undo:{log.planned.name}")
        await self._settle()

    async def undo_all(self) -> None:
        """Undo whatever is in force, the last applied first, and wait for it. Safe at any time, more than once."""
        applying = [log.applying for log in self._logs if log.applying is not None]
        # Not cancelled at once: what is half applied has no undo yet.
        if applying:
            await asyncio.wait(applying, timeout=APPLY_S)
            for task in applying:
                task.cancel()
            await asyncio.wait(applying)
        for log in reversed(self._logs):
            if log.applied is not None and log.undoing is None:
                log.undoing = _task(self._undo(log), f"undo:{log.planned.name}")
        await self._settle()

    def defects(self) -> list[str]:
        """What the engine itself, or whoever was told, has broken; a fault's own errors are in its record."""
        ended = [task for task in self._tasks() if task.done() and not task.cancelled()]
        errors = [error for task in ended if (error := task.exception()) is not None]
        return [f"{type(error).__name__}: {error}" for error in errors]

    def records(self) -> tuple[FaultRecord, ...]:
        """As far as it has come, in the order of the timeline."""
        return tuple(_record(log) for log in self._logs)

    def _steps(self) -> Iterator[tuple[float, Literal["apply", "undo"], _Log]]:
        # By time; at one time undoing (0), the latest of the timeline first, then applying (1). A fault of no
        # length is undone after it was applied (2).
        steps: list[tuple[tuple[float, int, int], Literal["apply", "undo"], _Log]] = []
        for index, log in enumerate(self._logs):
            fault = log.planned
            steps.append(((fault.at_s, 1, index), "apply", log))
            steps.append(((fault.until_s, 0 if fault.until_s > fault.at_s else 2, -index), "undo", log))
        for (at_s, _, _), act, log in sorted(steps, key=itemgetter(0)):
            yield at_s, act, log

    async def _apply(self, log: _Log) -> None:
        # In real time it is felt before it is done: whatever follows this moment may be an answer to it.
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
        self._tell(log.planned, "failed" if log.applied is None else "applied")

    async def _undo(self, log: _Log) -> None:
        if log.applying is not None and not log.applying.done():
            await asyncio.wait([log.applying])
        if log.applied is None:
            return
        try:
            await log.applied.undo()
        except FaultFailed as error:
            log.error = f"could not be undone: {error}"
        except Exception as error:
            log.error = f"could not be undone: {type(error).__name__}: {error}"
        else:
            log.undone_at_s = self._clock.now()
        self._tell(log.planned, "failed" if log.undone_at_s is None else "undone")

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [task for log in self._logs for task in (log.applying, log.undoing) if task is not None]

    async def _settle(self) -> None:
        if tasks := self._tasks():
            await asyncio.wait(tasks)


def never_applied(planned: Sequence[PlannedFault]) -> tuple[FaultRecord, ...]:
    """What is to be said of faults when it did not come to them."""
    return tuple(_record(_Log(fault)) for fault in planned)


def _record(log: _Log) -> FaultRecord:
    exposure = Exposure() if log.applied is None else log.applied.exposure()
    return FaultRecord(
        name=log.planned.name,
        fault=log.planned.fault.fault,
        targets=log.planned.target.names,
        at_s=log.planned.at_s,
        for_s=log.planned.fault.lasts_s,
        applied_at_s=log.applied_at_s,
        undone_at_s=log.undone_at_s,
        exposure=dataclasses.asdict(exposure),
        error=log.error,
    )


def _task(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(coroutine, name=name)
