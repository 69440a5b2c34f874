"""One arm of one run: the load, the timeline of faults beside it, and what was recorded."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.engine.events import EngineEvent, FaultChanged, Progress
from harness.engine.plan import Plan, PlannedArm, PlannedFault
from harness.faults.primitives import Applied, Exposure, FaultFailed
from harness.history.facts import FaultRecord, InvariantRecord, RunFacts
from harness.runtimes.base import Recorded, RunSettings, Runtime, Session
from harness.system import System
from harness.workload.drive import Driver

LOOK_EVERY_S = 1.0
"""Run seconds between looks at the progress; it is told at most once in `TELL_EVERY_S` of real time."""

TELL_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class ArmRun:
    """What one arm left behind."""

    records: Sequence[Recorded]
    facts: RunFacts


@dataclass(slots=True)
class _FaultLog:
    """What has become of a planned fault so far."""

    planned: PlannedFault
    applied: Applied | None = None
    applied_at_s: float | None = None
    undone_at_s: float | None = None
    error: str | None = None

    def record(self) -> FaultRecord:
        exposure = self.applied.exposure() if self.applied is not None else Exposure()
        return FaultRecord(
            name=self.planned.name,
            fault=self.planned.fault.fault,
            targets=self.planned.target.names,
            at_s=self.planned.at_s,
            for_s=self.planned.fault.lasts_s,
            applied_at_s=self.applied_at_s,
            undone_at_s=self.undone_at_s,
            exposure=dataclasses.asdict(exposure),
            error=self.error,
        )


@dataclass(slots=True)
class _Seen:
    """What is known of the arm even when it broke off."""

    records: Sequence[Recorded] = ()
    failures: list[str] = field(default_factory=list)
    statistics: Mapping[str, Any] = field(default_factory=dict)


def run_arm(
    runtime: Runtime, system: System, plan: Plan, arm: PlannedArm, emit: Callable[[EngineEvent], None]
) -> ArmRun:
    """Run one arm to its end. What breaks is in the facts, never an exception; an interrupt is raised
    after the faults are undone."""
    logs = [_FaultLog(planned) for planned in plan.faults]
    seen = _Seen()
    settings = RunSettings(system, plan.seed, arm.without)
    try:
        runtime.run(settings, lambda session: _body(session, system, plan, arm, logs, seen, emit))
    except Exception as error:
        seen.failures.append(f"{runtime.name} runtime: {type(error).__name__}: {error}")
    facts = RunFacts(
        arm=arm.name,
        without=tuple(sorted(arm.without)),
        faults=tuple(log.record() for log in logs),
        failures=tuple(dict.fromkeys(seen.failures)),
        invariants=tuple(InvariantRecord(i.name, i.table, i.violated, i.protects) for i in system.invariants),
        statistics=dict(seen.statistics),
    )
    return ArmRun(tuple(seen.records), facts)


async def _body(
    session: Session,
    system: System,
    plan: Plan,
    arm: PlannedArm,
    logs: Sequence[_FaultLog],
    seen: _Seen,
    emit: Callable[[EngineEvent], None],
) -> None:
    begin_s = session.clock.now()
    driver = Driver(session, system, plan.experiment.load, seed=plan.seed, drain_s=plan.experiment.drain)
    timeline = [asyncio.ensure_future(_fault(session, begin_s, log, plan, arm, emit)) for log in logs]
    progress = asyncio.ensure_future(_progress(session, driver, plan, arm, emit))
    try:
        driven = await driver.run()
        seen.failures += [f"{f.client} at {f.t_s:.3f} s: {f.error}" for f in driven.failures]
        if timeline:
            await asyncio.wait(timeline)
    finally:
        progress.cancel()
        for task in timeline:
            task.cancel()
        # Each undoes its fault on its way out.
        await asyncio.gather(progress, *timeline, return_exceptions=True)
        seen.records = session.records
        seen.failures += [f"{f.host} at {f.t_s:.3f} s: {f.error}" for f in session.failures]
        seen.statistics = session.statistics()


async def _fault(
    session: Session,
    begin_s: float,
    log: _FaultLog,
    plan: Plan,
    arm: PlannedArm,
    emit: Callable[[EngineEvent], None],
) -> None:
    """Apply a fault at its time and undo it at its end, or when the run ends before."""
    planned, clock = log.planned, session.clock

    def tell(change: str) -> None:
        emit(
            FaultChanged(
                plan.name, plan.seed, arm.name, planned.name, change, clock.now(), planned.target.names
            )
        )

    await _sleep_until(session, begin_s + planned.at_s)
    try:
        log.applied = await planned.fault.apply(planned.target, session.primitives)
    except FaultFailed as error:
        log.error = f"could not be applied: {error}"
    except Exception as error:
        log.error = f"could not be applied: {type(error).__name__}: {error}"
    if log.applied is None:
        tell("failed")
        return
    log.applied_at_s = clock.now()
    tell("applied")
    try:
        await _sleep_until(session, begin_s + planned.until_s)
    finally:
        await _undo(session, log, tell)


async def _undo(session: Session, log: _FaultLog, tell: Callable[[str], None]) -> None:
    assert log.applied is not None
    try:
        await log.applied.undo()
    except Exception as error:
        log.error = f"could not be undone: {type(error).__name__}: {error}"
        tell("failed")
    else:
        log.undone_at_s = session.clock.now()
        tell("undone")


async def _progress(
    session: Session, driver: Driver, plan: Plan, arm: PlannedArm, emit: Callable[[EngineEvent], None]
) -> None:
    told = 0.0
    while True:
        # Real time, only to spare whoever looks at it; nothing of the run depends on it.
        now = time.perf_counter()
        if now - told >= TELL_EVERY_S:
            told = now
            emit(
                Progress(plan.name, plan.seed, arm.name, session.clock.now(), plan.duration_s, driver.active)
            )
        await session.clock.sleep(LOOK_EVERY_S)


async def _sleep_until(session: Session, time_s: float) -> None:
    wait_s = time_s - session.clock.now()
    if wait_s > 0:
        await session.clock.sleep(wait_s)
