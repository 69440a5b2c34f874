"""One trial: the load of a search under one schedule, run in virtual time, judged from memory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.engine.arm import ArmRun, run_arm
from harness.engine.events import EngineEvent
from harness.engine.plan import MAIN, Plan, PlannedArm, PlannedFault
from harness.engine.targets import TargetError, resolve
from harness.experiment.load import Load
from harness.experiment.model import Experiment, Target
from harness.experiment.order import FIFO
from harness.explore.schedule import Schedule
from harness.explore.space import system_of
from harness.gates.base import Gate
from harness.gates.invariant import KIND as INVARIANT
from harness.gates.invariant import judge_invariants
from harness.gates.judge import judge_gates
from harness.gates.result import GateResult, Verdict
from harness.history.metadata import Environment
from harness.history.read import History
from harness.history.write import client_table, tables
from harness.runtime.contract import Runtime
from harness.sim.runtime import SimRuntime
from harness.sli.base import Slo
from harness.system import System
from harness.text import unique_names


@dataclass(frozen=True, slots=True)
class Subject:
    """What is searched: a system under a load, and what must hold besides its invariants. It can be pickled.

    `name`: what the system is found by. `slos`: those that `gates` are about. `without`: safeguards that are off.
    `order`: of ready tasks (`harness.experiment.order`).
    """

    name: str
    load: Mapping[str, Load]
    drain_s: float
    gates: tuple[Gate, ...] = ()
    slos: Mapping[str, Slo] = field(default_factory=dict)
    without: frozenset[str] = frozenset()
    order: str = FIFO

    @property
    def system(self) -> System:
        """Raises InvalidSystem."""
        return system_of(self.name)

    def experiment(self, schedule: Schedule) -> Experiment:
        return Experiment.model_construct(
            experiment="trial",
            title="a trial",
            system=self.name,
            load=dict(self.load),
            timeline=tuple(fault.model for fault in schedule),
            gates=self.gates,
            drain=self.drain_s,
            order=self.order,
        )


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """`key`: what was violated; the same for the same defect in other trials. `reason`: one sentence."""

    kind: Literal["invariant", "gate", "unhandled error"]
    key: str
    reason: str

    @property
    def name(self) -> str:
        return f"{self.kind} {self.key}" if self.kind != "unhandled error" else f"{self.kind}: {self.key}"


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one schedule with one seed.

    `broken`: why the trial says nothing (the harness, or a wrong use of it); never a finding.
    `affected`: for each fault whether it affected any traffic. `judged`: the properties that had rows to judge.
    """

    schedule: Schedule
    seed: int
    violations: tuple[Violation, ...] = ()
    broken: str | None = None
    clients: int = 0
    affected: tuple[bool, ...] = ()
    paths: tuple[tuple[str, str], ...] = ()
    judged: tuple[str, ...] = ()
    order: str = FIFO

    def violates(self, one: Violation) -> Violation | None:
        """The violation of the same kind and key."""
        return next((v for v in self.violations if (v.kind, v.key) == (one.kind, one.key)), None)


def run_trial(subject: Subject, schedule: Schedule, seed: int, runtime: Runtime | None = None) -> Trial:
    """Run and judge it. The same arguments give the same trial."""
    system = subject.system
    planned = _plan_faults(system, schedule, seed)
    plan = Plan(
        experiment=subject.experiment(schedule),
        file="",
        seed=seed,
        without=tuple(sorted(subject.without)),
        faults=planned,
        arms=(PlannedArm(MAIN, subject.without),),
        slos=subject.slos,
    )
    arm = run_arm(runtime or SimRuntime(), system, plan, plan.arms[0], _ignore)
    errors = list(_unhandled(arm.metadata.failures))
    broken = next((failure for failure in arm.metadata.failures if _is_broken(failure)), None)
    failed = [f"{fault.name}: {fault.error}" for fault in arm.metadata.faults if fault.error is not None]
    results = () if broken else tuple(_judge(subject, system, arm, seed))
    not_computed = [f"{one.name}: {one.reason}" for one in results if one.verdict is Verdict.ERROR]
    violations = [
        Violation("invariant" if one.kind == INVARIANT else "gate", one.name, one.reason)
        for one in results
        if one.verdict is Verdict.FAILED
    ]
    return Trial(
        schedule=schedule,
        seed=seed,
        violations=() if broken else (*violations, *errors),
        broken=broken or next(iter([*failed, *not_computed]), None),
        order=subject.order,
        judged=tuple(one.name for one in results if one.samples),
        clients=len(arm.clients),
        affected=tuple(fault.exposure.touched for fault in arm.metadata.faults),
        paths=tuple((str(a), str(b)) for a, b in arm.metadata.statistics.get("paths", ())),
    )


def _plan_faults(system: System, schedule: Schedule, seed: int) -> tuple[PlannedFault, ...]:
    planned = []
    names = unique_names([fault.fault for fault in schedule])
    for index, (name, placed) in enumerate(zip(names, schedule, strict=True)):
        fault = placed.model
        target = fault.target
        if not isinstance(target, Target):
            raise TargetError([])
        nodes_only = fault.targets == "nodes"
        planned.append(PlannedFault(name, fault, resolve(target, system, seed, index, nodes_only=nodes_only)))
    return tuple(planned)


def _judge(subject: Subject, system: System, arm: ArmRun, seed: int) -> Iterator[GateResult]:
    environment = Environment(
        experiment="trial",
        file="",
        slos_file=None,
        system=subject.name,
        runtime=SimRuntime.name,
        seed=seed,
        without=tuple(sorted(subject.without)),
        arm=MAIN,
        arms=(),
        targets={},
        run="",
        replay="",
        versions={},
    )
    written = (
        *tables(system, arm.records),
        client_table(system, arm.records, arm.clients),
    )
    with History.in_memory(written, arm.metadata, environment) as history:
        yield from judge_invariants(history).results
        if subject.gates:
            yield from judge_gates(subject.gates, history, subject.slos)


_HARNESS = ("sim runtime: ", "load: ", "timeline: ", "progress: ")
_WHERE = re.compile(r"^(?:(?P<host>\S+) at -?[\d.]+ s: )|(?: \(\d+ times, first at [\d.]+ s\)$)")


def _is_broken(failure: str) -> bool:
    """Whether it is of the harness, or a wrong use of it, which says nothing about the system."""
    return failure.startswith(_HARNESS) or "HostError" in failure


def _unhandled(failures: Sequence[str]) -> Iterator[Violation]:
    found: dict[str, Violation] = {}
    for failure in failures:
        key = _error_key(failure)
        found.setdefault(key, Violation("unhandled error", key, failure))
    yield from found.values()


def _error_key(failure: str) -> str:
    """The error without its host, its time and what differs from one process to the next."""
    text = _WHERE.sub("", failure.partition("\n")[0]).partition("; also ")[0]
    text = re.sub(r"^[a-z0-9-]+: ", "", _WHERE.sub("", text))
    return re.sub(r"0x[0-9a-f]+|\b\d+(\.\d+)?\b", "N", text)


def _ignore(_: EngineEvent) -> None: ...
