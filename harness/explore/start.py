"""From what a person asks for to a search: a system by name, or the load and the gates of an experiment file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.diagnostics import Code, Diagnostic, unknown_name
from harness.engine.plan import unknown_safeguards
from harness.engine.read import read_experiment
from harness.errors import UsageError
from harness.experiment.load import Load
from harness.explore.campaign import calibrate
from harness.explore.space import Space, system_of
from harness.explore.trial import Subject, Trial
from harness.faults.catalogue import FAULTS
from harness.sim.options import CAPABILITIES

DEFAULT_ARRIVE_PER_S = 2.0
DEFAULT_FOR_S = 30.0
DEFAULT_DRAIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line says of a search; None: as the experiment file has it, or the default.

    `target`: a system's name, or an experiment file: its load, its drain, and its gates that are not about its faults.
    """

    target: str
    workload: str | None = None
    mix: str | None = None
    arrive_per_s: float | None = None
    for_s: float | None = None
    drain_s: float | None = None
    without: Sequence[str] = ()
    faults: Sequence[str] = ()
    max_faults: int = 4
    overload: bool = False
    exhaustive: int = 0
    orders: bool = True


def make_subject(wishes: Wishes) -> Subject:
    """Raises InvalidSystem, ExperimentError, UsageError."""
    without = frozenset(wishes.without)
    if wishes.target.endswith((".yaml", ".yml")):
        ready = read_experiment(wishes.target)
        experiment = ready.experiment
        gates = tuple(gate for gate in experiment.gates if gate.fault_key is None and not gate.needs_control)
        subject = Subject(experiment.system, experiment.load, experiment.drain, gates, ready.slos, without)
    else:
        subject = Subject(wishes.target, _loads(wishes), DEFAULT_DRAIN_S, without=without)
    problems = [*unknown_safeguards(subject.system, wishes.without), *_unknown_faults(wishes.faults)]
    if problems:
        raise UsageError(problems)
    if wishes.drain_s is not None:
        subject = Subject(
            subject.name, subject.load, wishes.drain_s, subject.gates, subject.slos, subject.without
        )
    return subject


def _loads(wishes: Wishes) -> dict[str, Load]:
    """The load of a search that names a system: its first workload with its first mix, unless others are named."""
    system = system_of(wishes.target)
    workloads = {workload.name: workload for workload in system.workloads}
    if not workloads:
        raise UsageError([f"system {system.name} declares no workload, so nothing would use it"])
    name = wishes.workload or next(iter(workloads))
    if name not in workloads:
        raise UsageError([unknown_name("workload", name, workloads)])
    mixes = workloads[name].mixes
    mix = wishes.mix or next(iter(mixes))
    if mix not in mixes:
        raise UsageError([unknown_name("mix", mix, mixes, f"workload {name}")])
    return {
        name: Load(
            arrive=f"{wishes.arrive_per_s or DEFAULT_ARRIVE_PER_S:g}/s",
            for_=f"{wishes.for_s or DEFAULT_FOR_S:g}s",
            mix=mix,
        )
    }


def _unknown_faults(names: Sequence[str]) -> Iterator[Diagnostic]:
    for name in names:
        if name not in FAULTS:
            yield unknown_name("fault", name, FAULTS)
        elif not FAULTS[name].needs <= CAPABILITIES.available.keys():
            yield Diagnostic(Code.UNSUPPORTED, f"{name} cannot be applied in virtual time")


def make_space(subject: Subject, wishes: Wishes, calibration: Trial) -> Space:
    """The schedules of a search. `calibration`: a trial without faults. Raises UsageError where there is none."""
    space = Space(
        system_name=subject.name,
        load=subject.load,
        capabilities=frozenset(CAPABILITIES.available),
        paths=calibration.paths,
        faults=tuple(wishes.faults),
        max_faults=wishes.max_faults,
        overload=wishes.overload,
        exhaustive=wishes.exhaustive,
        orders=wishes.orders and not wishes.exhaustive,
    )
    if not space.choices:
        raise UsageError(["there is no fault to draw; name others with --fault"])
    return space


def begin(wishes: Wishes, seed: int) -> tuple[Subject, Space, Trial]:
    """The subject, a trial of it without faults, and the schedules that it shows. Raises as the functions above."""
    subject = make_subject(wishes)
    calibration = calibrate(subject, seed)
    return subject, make_space(subject, wishes, calibration), calibration
