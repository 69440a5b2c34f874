"""One arm of one run: the load, and beside it the timeline of faults."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.engine.events import Change, FaultChanged, Handler, Progress
from harness.engine.plan import Plan, PlannedArm, PlannedFault
from harness.engine.stop import (
    CHECK_INTERVAL_S,
    ILL_MARGIN_S,
    Look,
    Snapshot,
    breached_condition,
    refuted_steady_state,
)
from harness.engine.timeline import Timeline, never_applied
from harness.engine.triggers import EventWatch
from harness.errors import HarnessError
from harness.history.metadata import FaultRecord, InvariantRecord, MatchRecord, RunMetadata, StopRecord
from harness.runtime.contract import Recorded, RunSettings, Runtime, Session
from harness.runtime.interrupt import cancelled_by_signals
from harness.system import Invariant, MatchInvariant, System
from harness.text import describe_error, plural
from harness.workload.driver import LoadResult, client_groups
from harness.workload.records import ClientRecord

PROGRESS_CHECK_S = 1.0
"""Run seconds between two looks at the progress."""

PROGRESS_INTERVAL_S = 0.25
"""Real seconds at least between two `Progress` events."""


LIVE = "live"
"""The runtime of real systems, which are spared a fault when they are ill already."""


@dataclass(frozen=True, slots=True)
class ArmRun:
    """What one arm recorded."""

    records: Sequence[Recorded]
    metadata: RunMetadata
    clients: Sequence[ClientRecord]


class Interrupted(KeyboardInterrupt):
    """A signal asked the run to end. The message says when, and whether its faults were undone."""


class _ArmFailed(Exception):
    """Ends the arm. The failure, or why it is stopped, is recorded already."""


@dataclass(slots=True)
class _Outcome:
    """What is known of the arm, also when it breaks off."""

    records: Sequence[Recorded] = ()
    clients: Sequence[ClientRecord] = ()
    faults: tuple[FaultRecord, ...] = ()
    failures: list[str] = field(default_factory=list)
    statistics: Mapping[str, Any] = field(default_factory=dict)
    consulted_s: Mapping[str, float] = field(default_factory=dict)
    interrupted: str | None = None
    stopped: StopRecord | None = None


def run_arm(runtime: Runtime, system: System, plan: Plan, arm: PlannedArm, emit: Handler) -> ArmRun:
    """Run one arm to its end. Failures are in the metadata, never an exception: the verdict is `error`.

    Raises Interrupted (a KeyboardInterrupt), after the faults were undone.
    """
    if not arm.has_faults:
        plan = replace(plan, faults=())
    outcome = _Outcome(faults=never_applied(plan.faults))
    settings = RunSettings(system, plan.seed, arm.without, plan.experiment.system, plan.experiment.order)
    try:
        stops_when_ill = runtime.name == LIVE
        runtime.run(
            settings,
            lambda session: _Arm(session, plan, arm, outcome, emit, system, stops_when_ill).run(),
        )
    except Exception as error:
        outcome.failures.append(f"{runtime.name} runtime: {_format(error)}")
    if outcome.interrupted is not None:
        raise Interrupted(outcome.interrupted)
    metadata = RunMetadata(
        arm=arm.name,
        without=tuple(sorted(arm.without)),
        faults=outcome.faults,
        failures=tuple(dict.fromkeys(outcome.failures)),
        invariants=tuple(map(_invariant_record, system.invariants)),
        statistics=dict(outcome.statistics),
        groups=client_groups(system, plan.experiment.load, plan.seed),
        stopped=outcome.stopped,
        fault_zones=_fault_zones(system, plan.faults),
        consulted_s=outcome.consulted_s,
    )
    return ArmRun(tuple(outcome.records), metadata, tuple(outcome.clients))


class _Arm:
    """The load and the faults of one arm in a session."""

    def __init__(
        self,
        session: Session,
        plan: Plan,
        arm: PlannedArm,
        outcome: _Outcome,
        emit: Handler,
        system: System,
        stops_when_ill: bool,
    ) -> None:
        self._system = system
        self._stops_when_ill = stops_when_ill
        self._session = session
        self._clock = session.clock
        self._plan = plan
        self._arm = arm
        self._outcome = outcome
        self._emit = emit
        self._driver = session.driver(plan.experiment.load, seed=plan.seed, drain_s=plan.experiment.drain)
        watch = EventWatch()
        if any(planned.fault.when is not None for planned in plan.faults):
            session.listen(watch)
        self._timeline = Timeline(
            plan.faults, session.primitives, self._clock, self._clock.now(), self._report_change, watch
        )
        self._load_result: LoadResult | None = None

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                work = group.create_task(self._load_and_faults())
                with cancelled_by_signals(work, self._clock.now) as interruption:
                    await asyncio.wait([work])
        except* _ArmFailed:
            pass
        finally:
            self._collect()
        if interruption.asked:
            self._outcome.interrupted = (
                f"interrupted at {interruption.at_s:.1f} s of arm {self._arm.name}; "
                f"{_describe_undo(self._outcome.faults)}"
            )

    async def _load_and_faults(self) -> None:
        """Until both are over. Where one fails, or this is cancelled, the faults are undone before the load ends."""
        async with asyncio.TaskGroup() as group:
            load = group.create_task(self._record_failure("load", self._driver.run()))
            load.add_done_callback(lambda _: self._timeline.end())
            others = [group.create_task(self._report_progress()), group.create_task(self._watch())]
            await self._record_failure("timeline", self._timeline.run())
            self._load_result = await load
            await self._session.settle()
            for task in others:
                task.cancel()

    async def _watch(self) -> None:
        """End the arm when a condition of `abort_if` is breached, or when the system is ill before the first fault.

        A real system is spared the fault then; in virtual time the run goes on, and shows more.
        """
        plan = self._plan
        conditions = bool(plan.experiment.abort_if)
        # When the steady state is judged; never where that stops nothing.
        ill_s = math.inf
        if self._stops_when_ill and plan.faults:
            first_s = min(fault.at_s for fault in plan.faults)
            ill_s = self._clock.now() + max(0.0, first_s - ILL_MARGIN_S)
        while conditions or ill_s < math.inf:
            wait_s = ill_s - self._clock.now()
            await self._clock.sleep(max(0.0, min(wait_s, CHECK_INTERVAL_S if conditions else math.inf)))
            if self._clock.now() >= ill_s:
                ill_s = math.inf
                await self._stop_if(refuted_steady_state)
            elif conditions:
                await self._stop_if(breached_condition)

    async def _stop_if(self, look: Look) -> None:
        """Raises _ArmFailed where a look at what is recorded so far finds a reason."""
        snapshot = Snapshot(
            self._system, self._plan, self._arm, self._records(), self._timeline.records(), self._clock.now()
        )
        # A look takes real time, in which a real system must not wait for the harness.
        stopped = await asyncio.to_thread(look, snapshot) if self._stops_when_ill else look(snapshot)
        if stopped is not None:
            self._outcome.stopped = stopped
            raise _ArmFailed

    def _records(self) -> list[Recorded]:
        load_records = (Recorded(row.t_s, row.client, row) for row in self._driver.records)
        return [*self._session.records, *load_records]

    async def _record_failure[T](self, name: str, work: Awaitable[T]) -> T:
        """A failure ends the arm: it proves nothing any more."""
        try:
            return await work
        except Exception as error:
            self._outcome.failures.append(f"{name}: {_format(error)}")
            raise _ArmFailed from error

    def _collect(self) -> None:
        session, outcome = self._session, self._outcome
        outcome.faults = self._timeline.records()
        outcome.clients = self._driver.clients
        outcome.records = self._records()
        outcome.consulted_s = dict(sorted(session.consulted_s.items()))
        outcome.failures[:0] = [f"timeline: {_format(error)}" for error in self._timeline.errors]
        outcome.statistics = {**session.statistics(), "load": self._driver.statistics()}
        failures = [(f.t_s, f.host, f.error) for f in session.failures]
        if self._load_result is not None:
            failures += ((f.t_s, f.client, f.error) for f in self._load_result.failures)
        outcome.failures += _group(failures)
        outcome.failures += _broken(outcome)

    def _report_change(self, planned: PlannedFault, change: Change) -> None:
        plan, now_s = self._plan, self._clock.now()
        targets = planned.target.names
        self._emit(FaultChanged(plan.name, plan.seed, self._arm.name, planned.name, change, now_s, targets))

    async def _report_progress(self) -> None:
        """Emit `Progress` until cancelled. A handler that raises ends it, not the arm."""
        plan, emitted_s = self._plan, -math.inf
        try:
            while True:
                # Real time, only to spare the handlers; nothing of the run depends on it.
                now_s = time.perf_counter()
                if now_s - emitted_s >= PROGRESS_INTERVAL_S:
                    emitted_s, done_s = now_s, self._clock.now()
                    active = self._driver.active
                    self._emit(
                        Progress(plan.name, plan.seed, self._arm.name, done_s, plan.duration_s, active)
                    )
                await self._clock.sleep(PROGRESS_CHECK_S)
        except Exception as error:
            self._outcome.failures.append(f"progress: {_format(error)}")


def _fault_zones(system: System, faults: Sequence[PlannedFault]) -> tuple[str, ...]:
    """The zones of the nodes and clients that the targets name; none where a target names neither."""
    zones: set[str] = set()
    for fault in faults:
        target = fault.target
        names = {*target.nodes}
        for end in (target.path.src, target.path.dst):
            names |= end.nodes
            if end.clients is not None:
                wanted = end.clients.zone
                zones |= {wanted} if isinstance(wanted, str) else wanted or {*system.topology.zones}
        zones |= {system.topology.node(name).zone for name in names}
    return tuple(sorted(zones))


def _invariant_record(invariant: Invariant | MatchInvariant) -> InvariantRecord | MatchRecord:
    if isinstance(invariant, Invariant):
        return InvariantRecord(invariant.name, invariant.table, invariant.violated, invariant.protects)
    every, found_in = invariant.every, invariant.found_in
    return MatchRecord(
        name=invariant.name,
        table=every.table,
        key=every.key,
        where=every.where,
        at=every.at,
        in_table=found_in.table,
        in_key=found_in.key,
        in_where=found_in.where,
        in_at=found_in.at,
        times=invariant.times,
        within_s=invariant.within_s,
        protects=invariant.protects,
    )


def _group(failures: Iterable[tuple[float, str, str]]) -> list[str]:
    """From run times, hosts and errors: one text for each error, in the order of time, with the first host and how
    many others have it. The first line of an error identifies it; the log of a process may follow."""
    by_error: dict[str, list[tuple[float, str, str]]] = {}
    for failure in sorted(failures, key=lambda failure: failure[0]):
        by_error.setdefault(failure[2].partition("\n")[0], []).append(failure)
    texts = []
    for error, same in by_error.items():
        (t_s, host, text), others = same[0], len({host for _, host, _ in same}) - 1
        more = f"; also {plural(others, 'other host')}" if others else ""
        texts.append(f"{host} at {t_s:.3f} s: {error}{more}{text[len(error) :]}")
    return texts


def _broken(outcome: _Outcome) -> list[str]:
    """Services with unhandled errors in run time that no network causes. A fault is no excuse for a defect."""
    return [
        f"{error} ({outcome.statistics['unhandled_errors'].get(error, 1)} times, first at {since_s:.3f} s)"
        for error, since_s in outcome.statistics.get("broken_since_s", {}).items()
        if since_s >= 0
    ]


def _describe_undo(faults: Sequence[FaultRecord]) -> str:
    stuck = [f for f in faults if f.applied_at_s is not None and f.undone_at_s is None]
    if stuck:
        return "NOT undone: " + "; ".join(f"{f.name} on {', '.join(f.targets)}: {f.error}" for f in stuck)
    return "every fault in force was undone first"


def _format(error: Exception) -> str:
    """What the harness raises on purpose says everything; of other errors, the place too."""
    return f"{type(error).__name__}: {error}" if isinstance(error, HarnessError) else describe_error(error)
