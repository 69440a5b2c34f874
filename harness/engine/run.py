"""One arm of one run: the load, the timeline of faults beside it, and what was recorded."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.engine.events import EngineEvent, FaultChanged, Progress
from harness.engine.plan import Plan, PlannedArm, PlannedFault
from harness.engine.timeline import Change, Timeline, never_applied
from harness.history.metadata import FaultRecord, InvariantRecord, RunMetadata
from harness.runtime.contract import Recorded, RunSettings, Runtime, Session
from harness.runtime.interrupt import cancelled_by_signals
from harness.system import System
from harness.workload.drive import LoadDriver

LOOK_EVERY_S = 1.0
"""Run seconds between looks at the progress; it is told at most once in `TELL_EVERY_S` of real time."""

TELL_EVERY_S = 0.25

type Emit = Callable[[EngineEvent], None]


@dataclass(frozen=True, slots=True)
class ArmRun:
    """What one arm left behind."""

    records: Sequence[Recorded]
    metadata: RunMetadata


class Interrupted(KeyboardInterrupt):
    """Somebody asked the run to end. The message says where it was and what became of its faults."""


@dataclass(slots=True)
class _Seen:
    """What is known of the arm even when it broke off."""

    records: Sequence[Recorded] = ()
    faults: tuple[FaultRecord, ...] = ()
    failures: list[str] = field(default_factory=list)
    statistics: Mapping[str, Any] = field(default_factory=dict)
    interrupted: str | None = None


def run_arm(runtime: Runtime, system: System, plan: Plan, arm: PlannedArm, emit: Emit) -> ArmRun:
    """Run one arm to its end. What breaks is in the metadata, never an exception: the verdict is `error`.

    Raises Interrupted (a KeyboardInterrupt), after the faults were undone.
    """
    seen = _Seen(faults=never_applied(plan.faults))
    settings = RunSettings(system, plan.seed, arm.without, plan.experiment.system)
    try:
        runtime.run(settings, lambda session: _body(session, system, plan, arm, seen, emit))
    except Exception as error:
        seen.failures.append(f"{runtime.name} runtime: {type(error).__name__}: {error}")
    if seen.interrupted is not None:
        raise Interrupted(seen.interrupted)
    metadata = RunMetadata(
        arm=arm.name,
        without=tuple(sorted(arm.without)),
        faults=seen.faults,
        failures=tuple(dict.fromkeys(seen.failures)),
        invariants=tuple(InvariantRecord(i.name, i.table, i.violated, i.protects) for i in system.invariants),
        statistics=dict(seen.statistics),
    )
    return ArmRun(tuple(seen.records), metadata)


async def _body(
    session: Session, system: System, plan: Plan, arm: PlannedArm, seen: _Seen, emit: Emit
) -> None:
    clock = session.clock

    def tell(planned: PlannedFault, change: Change) -> None:
        targets = planned.target.names
        emit(FaultChanged(plan.name, plan.seed, arm.name, planned.name, change, clock.now(), targets))

    driver = session.driver(plan.experiment.load, seed=plan.seed, drain_s=plan.experiment.drain)
    timeline = Timeline(plan.faults, session.primitives, clock, clock.now(), tell)
    main = asyncio.current_task()
    assert main is not None
    with cancelled_by_signals(main) as interruption:
        faults = asyncio.ensure_future(timeline.run())
        load = asyncio.ensure_future(driver.run())
        progress = asyncio.ensure_future(_progress(session, driver, plan, arm, emit))
        tasks: tuple[asyncio.Future[Any], ...] = (faults, load, progress)
        try:
            # Whatever breaks ends the arm: it proves nothing any more.
            await asyncio.wait(tasks[:2], return_when=asyncio.FIRST_EXCEPTION)
        except asyncio.CancelledError:
            if not interruption.asked:
                raise
            main.uncancel()
        finally:
            at_s = clock.now()
            # The faults first: whatever else happens, the system is left as it was.
            faults.cancel()
            await asyncio.wait([faults])
            await timeline.undo_all()
            load.cancel()
            progress.cancel()
            await asyncio.wait(tasks)
            seen.faults = timeline.records()
            load_records = (Recorded(row.t_s, row.client, row) for row in driver.records)
            seen.records = [*session.records, *load_records]
            seen.failures += [f"timeline: {defect}" for defect in timeline.defects()]
            seen.failures += _failures(tasks)
            if not load.cancelled() and load.exception() is None:
                seen.failures += [f"{f.client} at {f.t_s:.3f} s: {f.error}" for f in load.result().failures]
            seen.failures += [f"{f.host} at {f.t_s:.3f} s: {f.error}" for f in session.failures]
            seen.statistics = {**session.statistics(), "load": driver.statistics()}
            if not load.cancelled() and load.exception() is None:
                seen.statistics["asked_to_leave"] = load.result().asked_to_leave
            seen.failures += _broken_before_faults(seen)
    if interruption.asked:
        seen.interrupted = f"interrupted at {at_s:.1f} s of arm {arm.name}; {_undone(seen.faults)}"


def _broken_before_faults(seen: _Seen) -> list[str]:
    """Services that raised what nobody handled, in run time and before anything was done to them."""
    begins_s = min((f.applied_at_s for f in seen.faults if f.applied_at_s is not None), default=math.inf)
    return [
        f"{error} ({seen.statistics['unhandled_errors'].get(error, 1)} times, first at {since_s:.3f} s, "
        "when no fault had touched it)"
        for error, since_s in seen.statistics.get("broken_since_s", {}).items()
        if 0 <= since_s < begins_s
    ]


def _failures(tasks: Sequence[asyncio.Future[Any]]) -> list[str]:
    found = []
    for what, task in zip(("timeline", "load", "progress"), tasks, strict=True):
        error = None if task.cancelled() else task.exception()
        if error is not None:
            found.append(f"{what}: {type(error).__name__}: {error}")
    return found


def _undone(faults: Sequence[FaultRecord]) -> str:
    stuck = [f for f in faults if f.applied_at_s is not None and f.undone_at_s is None]
    if stuck:
        return "NOT undone: " + "; ".join(f"{f.name} on {', '.join(f.targets)}: {f.error}" for f in stuck)
    return "every fault in force was undone first"


async def _progress(session: Session, driver: LoadDriver, plan: Plan, arm: PlannedArm, emit: Emit) -> None:
    told_s = -TELL_EVERY_S
    while True:
        # Real time, only to spare whoever looks at it; nothing of the run depends on it.
        now_s = time.perf_counter()
        if now_s - told_s >= TELL_EVERY_S:
            told_s = now_s
            done_s = session.clock.now()
            emit(Progress(plan.name, plan.seed, arm.name, done_s, plan.duration_s, driver.active))
        await session.clock.sleep(LOOK_EVERY_S)
