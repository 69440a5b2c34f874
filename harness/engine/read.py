"""Reading experiment files: each with its system and its SLOs, validated and ready to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.diagnostics import Code, Diagnostic, unknown_name
from harness.engine.runtimes import DEFAULT, RUNTIMES
from harness.engine.validate import check_fault, validate, validate_slos
from harness.errors import ExperimentError
from harness.experiment.model import Experiment
from harness.experiment.parse import Draft, parse_draft, parse_slos, parse_slos_draft, read_text
from harness.experiment.source import read_source
from harness.faults.base import Fault
from harness.faults.catalogue import FAULTS
from harness.gates.base import Gate
from harness.gates.registry import gate_kinds
from harness.history.columns import TableError
from harness.history.expressions import check_tables
from harness.history.files import EXPERIMENT, SLOS
from harness.history.metadata import BrokenHistory
from harness.runtime.options import Capabilities, RuntimeOptions
from harness.sli.base import Slo
from harness.sli.kinds import SLO_KINDS
from harness.system import InvalidSystem, System, find_system, system_names
from harness.text import display_path, nearest
from harness.verdict.recorded import RecordedRun

SLOS_FILE = "slos.yaml"


@dataclass(frozen=True, slots=True)
class ReadyExperiment:
    """A valid experiment with its system and SLOs, ready to be planned and run.

    `display_path`: the file as messages name it. `text` and `slos_text` are what goes into the run directory.
    """

    file: Path
    display_path: str
    experiment: Experiment
    system: System
    slos: dict[str, Slo]
    slos_file: Path | None
    text: str
    slos_text: str
    gate_lines: tuple[int, ...]
    variables: Mapping[str, str | int | float | bool]

    @property
    def name(self) -> str:
        return self.experiment.experiment

    @property
    def seed(self) -> int:
        """Of a run for which no other one is given."""
        return 1 if self.experiment.seed is None else self.experiment.seed

    def texts(self) -> ExperimentTexts:
        """For another process, which has the same packages but not these objects."""
        slos_path = None if self.slos_file is None else display_path(self.slos_file)
        return ExperimentTexts(
            self.file, self.display_path, self.text, self.slos_file, slos_path, self.slos_text
        )


@dataclass(frozen=True, slots=True)
class ExperimentTexts:
    """The texts of a `ReadyExperiment`, as they were when it was validated."""

    file: Path
    display_path: str
    text: str
    slos_file: Path | None
    slos_display_path: str | None
    slos_text: str

    def parse(self) -> ReadyExperiment:
        """Parse them again, without validation. Raises ExperimentError where the packages are not the same."""
        draft = parse_draft(self.text, self.display_path, FAULTS, gate_kinds())
        problems = list(draft.problems)
        path = self.slos_display_path
        slos = {} if path is None else parse_slos(self.slos_text, path, SLO_KINDS)
        system = _find_system(draft, problems, is_checked=True)
        return _ready(draft, problems, self.file, system, slos, self.slos_file, self.slos_text)


def read_experiment(
    file: Path | str, runtime: RuntimeOptions | None = None, variables: Mapping[str, str] | None = None
) -> ReadyExperiment:
    """The experiment of one file, with the system it names and the SLOs of the nearest `slos.yaml` above it.

    `runtime`: where it is to run; by default where its key `runtime` says. `variables`: values of its `vars`.
    Raises ExperimentError with every mistake
    in the experiment and in its SLOs.
    """
    (ready,) = read_experiments([Path(file)], runtime, variables)
    return ready


def read_experiments(
    files: Sequence[Path], runtime: RuntimeOptions | None = None, variables: Mapping[str, str] | None = None
) -> tuple[ReadyExperiment, ...]:
    """The experiments of several files, which must have different names.

    `runtime`: where they are to run; by default each where its key `runtime` says. An experiment for another runtime is
    not checked against either. Raises ExperimentError with every mistake in any of them or in their SLOs.
    """
    reader = _Reader(runtime, variables)
    problems: list[Diagnostic] = []
    ready: list[ReadyExperiment] = []
    names: dict[str, str] = {}
    for file in files:
        try:
            one = reader.read(file)
        except ExperimentError as error:
            problems += error.diagnostics
            continue
        if one.name in names:
            found = f"duplicate experiment name '{one.name}' (first in {names[one.name]})"
            problems.append(Diagnostic(Code.DUPLICATE, found, file=one.display_path, line=1, col=1))
        names.setdefault(one.name, one.display_path)
        ready.append(one)
    declared = {name for one in ready for name in one.variables}
    if not problems:
        problems += [
            unknown_name("variable", name, declared) for name in variables or {} if name not in declared
        ]
    if problems:
        raise ExperimentError(problems)
    return tuple(ready)


def read_recorded(run: RecordedRun) -> ReadyExperiment:
    """The experiment of a run directory, validated again.

    Raises BrokenHistory when it cannot be read, ExperimentError for an experiment that is not valid any more.
    """
    slos_file = None if run.environment.slos_file is None else run.directory / SLOS
    file = run.directory / EXPERIMENT
    try:
        return _Reader().validate(file, run.environment.file, run.experiment_yaml, slos_file, run.slos_yaml)
    except ExperimentError as error:
        if run.alterations:
            changes = "; ".join(run.alterations)
            raise BrokenHistory(
                f"{run.directory}: cannot be read: {error}\n{changes} since it was recorded"
            ) from error
        raise


def unsupported(loaded: ReadyExperiment, capabilities: Capabilities) -> tuple[Diagnostic, ...]:
    """What of an experiment cannot be done; for one that was validated for another runtime."""
    timeline: tuple[Fault, ...] = loaded.experiment.timeline
    if not any(capabilities.missing(fault.needed()) for fault in timeline):
        return ()
    source = read_source(loaded.text, loaded.display_path)
    return tuple(
        problem
        for index, fault in enumerate(timeline)
        for problem in check_fault(source, index, fault, capabilities)
    )


@dataclass(frozen=True, slots=True)
class _SlosFile:
    """The SLOs of a file: None for one that is not valid, and for all where the file is not."""

    slos: Mapping[str, Slo | None] | None
    problems: tuple[Diagnostic, ...]


class _Reader:
    """Reads one file after the other. Systems and SLOs that several files share are validated once."""

    def __init__(
        self, runtime: RuntimeOptions | None = None, variables: Mapping[str, str] | None = None
    ) -> None:
        self._runtime = runtime
        self._variables = variables
        self._capabilities: dict[str, Capabilities] = {}
        self._slos: dict[tuple[Path, str], _SlosFile] = {}
        self._systems: dict[str, System] = {}

    def read(self, file: Path) -> ReadyExperiment:
        path = display_path(file)
        text = read_text(file, path)
        slos_file = find_slos(file)
        slos_text = "{}\n" if slos_file is None else read_text(slos_file, display_path(slos_file))
        return self.validate(file, path, text, slos_file, slos_text)

    def validate(
        self, file: Path, path: str, text: str, slos_file: Path | None, slos_text: str
    ) -> ReadyExperiment:
        """`path`: the file as messages name it."""
        draft = parse_draft(text, path, FAULTS, gate_kinds(), self._variables)
        problems = list(draft.problems)
        system = self._systems.get(draft.system or "") or _find_system(draft, problems)
        if system is not None and draft.system is not None:
            self._systems[draft.system] = system
        checked_against = system or _probable_system(draft)
        slos = _SlosFile(None, ())
        if slos_file is not None:
            slos = self._validate_slos(slos_file, slos_text, checked_against)
            problems += slos.problems
        elif any(isinstance(gate, Gate) and gate.slo_name is not None for gate in draft.gates):
            found = f"found no {SLOS_FILE} beside it or above it"
            allowed = "it defines the SLOs that the gates use"
            problems.append(Diagnostic(Code.UNREADABLE, found, allowed, file=path))
        problems += validate(draft, checked_against, slos.slos, self._capabilities_for(draft))
        valid_slos = {name: slo for name, slo in (slos.slos or {}).items() if slo is not None}
        return _ready(draft, problems, file, system, valid_slos, slos_file, slos_text)

    def _capabilities_for(self, draft: Draft) -> Capabilities | None:
        """Those of the runtime that the experiment is to run in; None when it is made for another one."""
        wanted = draft.source.value.get("runtime")
        runtime = self._runtime
        if runtime is None:
            options = RUNTIMES.get(wanted) if isinstance(wanted, str) else None
            runtime = DEFAULT if options is None else options.from_arguments({})
        elif wanted not in (None, runtime.name):
            return None
        # Asking may take a while: it looks at the machine.
        if runtime.name not in self._capabilities:
            self._capabilities[runtime.name] = runtime.capabilities()
        return self._capabilities[runtime.name]

    def _validate_slos(self, file: Path, text: str, system: System | None) -> _SlosFile:
        key = (file, "" if system is None else system.name)
        if key not in self._slos:
            try:
                draft = parse_slos_draft(text, display_path(file), SLO_KINDS)
            except ExperimentError as error:
                self._slos[key] = _SlosFile(None, error.diagnostics)
            else:
                problems = validate_slos(draft, system)
                slos = {name: slo if isinstance(slo, Slo) else None for name, slo in draft.slos.items()}
                self._slos[key] = _SlosFile(slos, (*draft.problems, *problems))
        return self._slos[key]


def _ready(
    draft: Draft,
    problems: Sequence[Diagnostic],
    file: Path,
    system: System | None,
    slos: dict[str, Slo],
    slos_file: Path | None,
    slos_text: str,
) -> ReadyExperiment:
    """Raises ExperimentError where there are problems."""
    if problems or system is None or draft.experiment is None:
        raise ExperimentError(problems)
    return ReadyExperiment(
        file=file,
        display_path=draft.source.file,
        experiment=draft.experiment,
        system=system,
        slos=slos,
        slos_file=slos_file,
        text=draft.source.text,
        slos_text=slos_text,
        gate_lines=tuple(draft.source.mark(("gates", index)).line for index in range(len(draft.gates))),
        variables=draft.variables,
    )


def _find_system(draft: Draft, problems: list[Diagnostic], *, is_checked: bool = False) -> System | None:
    if draft.system is None:
        return None
    try:
        system = find_system(draft.system)
        if not is_checked:
            check_tables(system)
        return system
    except (InvalidSystem, TableError) as error:
        problems += [draft.source.locate(one, ("system",)) for one in error.diagnostics]
        return None


def _probable_system(draft: Draft) -> System | None:
    """The installed system that a misspelt name means, where it has a workload of the load."""
    near = None if draft.system is None else nearest(draft.system, system_names())
    if near is None or near == draft.system:
        return None
    try:
        system = find_system(near)
    except InvalidSystem:
        return None
    return system if {workload.name for workload in system.workloads} & draft.load.keys() else None


def find_slos(file: Path) -> Path | None:
    """The nearest `slos.yaml` in the file's directory or above it."""
    for directory in file.resolve().parents:
        candidate = directory / SLOS_FILE
        if candidate.is_file():
            return candidate
    return None
