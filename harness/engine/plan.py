"""What one (experiment, seed) will do, before anything starts: targets, times, arms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.diagnostics import Diagnostic, unknown_name
from harness.engine.budget import DEFAULT_S
from harness.engine.read import ReadyExperiment
from harness.engine.targets import TargetError, resolve
from harness.errors import UsageError
from harness.experiment.model import Arm, Experiment
from harness.faults.base import Fault
from harness.faults.primitives import ResolvedTarget
from harness.sli.base import Slo
from harness.system import System
from harness.text import unique_names
from harness.verdict.recorded import CONTROL

MAIN = "main"


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A fault of the timeline with its target resolved. `name` is unique within the experiment."""

    name: str
    fault: Fault
    target: ResolvedTarget

    @property
    def at_s(self) -> float:
        return self.fault.at

    @property
    def until_s(self) -> float:
        return self.fault.ends_s


@dataclass(frozen=True, slots=True)
class PlannedArm:
    """One run of the load and the timeline. `arm` is None for the main one (the experiment itself).

    `has_faults`: False for the control run, in which nothing of the timeline happens.
    """

    name: str
    without: frozenset[str]
    arm: Arm | None = None
    has_faults: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """One (experiment, seed). The first arm is the main one: the experiment itself."""

    experiment: Experiment
    file: str
    seed: int
    without: tuple[str, ...]
    faults: tuple[PlannedFault, ...]
    arms: tuple[PlannedArm, ...]
    slos: Mapping[str, Slo] = field(default_factory=dict)
    given_budget_s: float | None = None
    variables: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    @property
    def budget_s(self) -> float:
        """How much real time each arm may take."""
        return self.given_budget_s or self.experiment.budget or self.duration_s + DEFAULT_S

    @property
    def name(self) -> str:
        return self.experiment.experiment

    @property
    def load_s(self) -> float:
        """How long clients arrive."""
        return max((load.duration_s for load in self.experiment.load.values()), default=0.0)

    @property
    def duration_s(self) -> float:
        """The most run time one arm takes: the load or the timeline, whichever is longer, and the drain."""
        timeline = max((fault.until_s for fault in self.faults), default=0.0)
        return max(self.load_s, timeline) + self.experiment.drain


def make_plan(
    ready: ReadyExperiment, seed: int, without: Sequence[str] = (), budget_s: float | None = None
) -> Plan:
    """The plan of one experiment with one seed. The same arguments give the same plan.

    `budget_s`: the real time of each arm, instead of the experiment's `budget`.

    Raises UsageError for a safeguard that the system does not have and for a target that cannot be resolved.
    """
    experiment, system = ready.experiment, ready.system
    problems = list(unknown_safeguards(system, without))
    for arm in experiment.arms:
        problems += unknown_safeguards(system, arm.safeguards)
    entries: list[tuple[int | str, Fault]] = [
        # Each occurrence draws its own hosts, the first one as a fault that happens once.
        (index if number == 0 else f"{index}.{number}", occurrence)
        for index, fault in enumerate(experiment.timeline)
        for number, occurrence in enumerate(fault.occurrences())
    ]
    names = unique_names([fault.name or fault.fault for _, fault in entries])
    faults = []
    for name, (draw, fault) in zip(names, entries, strict=True):
        stated = fault.target
        if isinstance(stated, str):
            draw, stated = f"target {stated}", experiment.targets[stated]
        try:
            target = resolve(stated, system, seed, draw, nodes_only=fault.targets == "nodes")
        except TargetError as error:
            problems += [replace(one, found=f"{name}: {one.found}") for one in error.diagnostics]
        else:
            faults.append(PlannedFault(name, fault, target))
    if problems:
        raise UsageError(replace(one, file=ready.display_path) for one in problems)
    switched_off = frozenset(without)
    control = any(gate.needs_control for gate in experiment.gates)
    return Plan(
        experiment=experiment,
        file=ready.display_path,
        seed=seed,
        without=tuple(sorted(switched_off)),
        faults=tuple(faults),
        arms=(
            PlannedArm(MAIN, switched_off),
            *_arms(experiment.arms, switched_off),
            *([PlannedArm(CONTROL, switched_off, has_faults=False)] if control else ()),
        ),
        slos=ready.slos,
        given_budget_s=budget_s,
        variables=ready.variables,
    )


def unknown_safeguards(system: System, names: Iterable[str]) -> Iterator[Diagnostic]:
    """A diagnostic for each that the system does not declare."""
    known = [safeguard.name for safeguard in system.safeguards]
    for name in names:
        if name not in known:
            yield unknown_name("safeguard", name, known, f"system {system.name}")


def _arms(arms: Sequence[Arm], without: frozenset[str]) -> Iterator[PlannedArm]:
    """The arms, but for those that would be the main run again."""
    arms = [arm for arm in arms if arm.differs_from(without)]
    names = ["without " + ", ".join(arm.safeguards) for arm in arms]
    for name, arm in zip(unique_names(names), arms, strict=True):
        yield PlannedArm(name, without | frozenset(arm.safeguards), arm)
