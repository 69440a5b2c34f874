"""Experiment files to what the engine runs: parsed, with their SLOs and their system, and found sensible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.diagnostics import Code, Diagnostic
from harness.engine.runtimes import DEFAULT, RUNTIMES
from harness.engine.validate import validate, validate_slos
from harness.errors import ExperimentError
from harness.experiment.model import EventGate, Experiment, Slo
from harness.experiment.parse import Draft, parse_draft, parse_slos, parse_slos_draft, read_text
from harness.faults.catalogue import FAULTS
from harness.history.columns import TableError, columns
from harness.history.files import EXPERIMENT, SLOS
from harness.runtime.capabilities import Capabilities
from harness.runtime.options import RuntimeOptions
from harness.system import System, UnknownSystem, load_system, system_names
from harness.text import nearest
from harness.verdict.recorded import RecordedRun

SLOS_FILE = "slos.yaml"


@dataclass(frozen=True, slots=True)
class Loaded:
    """One experiment, ready to be planned. The texts are what goes into the run directory."""

    file: Path
    shown: str
    experiment: Experiment
    system: System
    slos: dict[str, Slo]
    slos_file: Path | None
    text: str
    slos_text: str
    gate_lines: tuple[int, ...]

    def packed(self) -> Packed:
        """For another process, which has the same packages but not these objects."""
        slos_file = None if self.slos_file is None else shown_path(self.slos_file)
        return Packed(self.file, self.shown, self.text, self.slos_file, slos_file, self.slos_text)


@dataclass(frozen=True, slots=True)
class Packed:
    """The texts of a `Loaded`: what was read and found valid, whatever becomes of the files meanwhile."""

    file: Path
    shown: str
    text: str
    slos_file: Path | None
    slos_shown: str | None
    slos_text: str

    def unpacked(self) -> Loaded:
        """Parsed again, not validated again. Raises ExperimentError if the packages are not the same."""
        draft = parse_draft(self.text, self.shown, FAULTS)
        problems = list(draft.problems)
        slos = parse_slos(self.slos_text, self.slos_shown)[0] if self.slos_shown is not None else {}
        system = _system(draft, problems)
        if problems or system is None or draft.experiment is None:
            raise ExperimentError(problems)
        return Loaded(
            file=self.file,
            shown=self.shown,
            experiment=draft.experiment,
            system=system,
            slos=slos,
            slos_file=self.slos_file,
            text=self.text,
            slos_text=self.slos_text,
            gate_lines=_gate_lines(draft),
        )


def load_experiments(files: Sequence[Path], runtime: RuntimeOptions | None = None) -> tuple[Loaded, ...]:
    """All of them, or ExperimentError with everything that is wrong in any of them or in their SLOs.

    SLOs come from the nearest `slos.yaml` upward from each file. `runtime`: where they are to run; by default each
    where its `runtime` says. An experiment that says another one than `runtime` is not held against either.
    """
    loader = _Loader(runtime)
    problems: list[Diagnostic] = []
    loaded: list[Loaded] = []
    names: dict[str, str] = {}
    for file in files:
        try:
            found = loader.load(file)
        except ExperimentError as error:
            problems += error.diagnostics
            continue
        name = found.experiment.experiment
        if name in names:
            what = f"duplicate experiment name '{name}' (first in {names[name]})"
            problems.append(Diagnostic(Code.DUPLICATE, what, file=found.shown, line=1, col=1))
        names.setdefault(name, found.shown)
        loaded.append(found)
    if problems:
        raise ExperimentError(problems)
    return tuple(loaded)


def load_run(run: RecordedRun) -> Loaded:
    """The experiment of a run directory, validated again.

    Raises HistoryError when it cannot be read, ExperimentError for an experiment that is not valid any more.
    """
    slos_file = None if run.environment.slos_file is None else run.directory / SLOS
    return _Loader().check(
        run.directory / EXPERIMENT, run.environment.file, run.experiment_yaml, slos_file, run.slos_yaml
    )


@dataclass(frozen=True, slots=True)
class _Slos:
    """The SLOs of a file; one that nothing can be made of is None, `slos` when nothing could be made of the file."""

    slos: Mapping[str, Slo | None] | None
    problems: tuple[Diagnostic, ...]


class _Loader:
    """Loads one file after the other. SLOs that several files share are checked once for a system."""

    def __init__(self, runtime: RuntimeOptions | None = None) -> None:
        self._runtime = runtime
        self._capabilities: dict[str, Capabilities] = {}
        self._slos: dict[tuple[Path, str], _Slos] = {}

    def load(self, file: Path) -> Loaded:
        shown = shown_path(file)
        text = read_text(file, shown)
        slos_file = find_slos(file)
        slos_text = "{}\n" if slos_file is None else read_text(slos_file, shown_path(slos_file))
        return self.check(file, shown, text, slos_file, slos_text)

    def check(self, file: Path, shown: str, text: str, slos_file: Path | None, slos_text: str) -> Loaded:
        draft = parse_draft(text, shown, FAULTS)
        problems = list(draft.problems)
        system = _system(draft, problems)
        # A system that is only misspelt is the one that the rest is held against.
        meant = _meant(draft) if system is None else system
        found = _Slos(None, ())
        if slos_file is not None:
            found = self._checked_slos(slos_file, slos_text, meant)
            problems += found.problems
        elif any(gate is not None and not isinstance(gate, EventGate) for gate in draft.gates):
            what = f"found no {SLOS_FILE} beside it or above it"
            problems.append(
                Diagnostic(Code.UNREADABLE, what, "it defines the SLOs that the gates use", file=shown)
            )
        problems += validate(draft, meant, found.slos, self._capabilities_for(draft))
        if problems or system is None or draft.experiment is None:
            raise ExperimentError(problems)
        slos = {name: slo for name, slo in (found.slos or {}).items() if slo is not None}
        lines = _gate_lines(draft)
        return Loaded(file, shown, draft.experiment, system, slos, slos_file, text, slos_text, lines)

    def _capabilities_for(self, draft: Draft) -> Capabilities | None:
        """Of the runtime that the experiment is to run in; None when it is made for another one."""
        wanted: Any = draft.source.value.get("runtime")
        runtime = self._runtime
        if runtime is None:
            runtime = DEFAULT if wanted not in RUNTIMES else RUNTIMES[wanted].from_arguments({})
        elif wanted not in (None, runtime.name):
            return None
        # Asking may take a while: it looks at the machine.
        if runtime.name not in self._capabilities:
            self._capabilities[runtime.name] = runtime.capabilities()
        return self._capabilities[runtime.name]

    def _checked_slos(self, file: Path, text: str, system: System | None) -> _Slos:
        key = (file, "" if system is None else system.name)
        if key not in self._slos:
            try:
                draft = parse_slos_draft(text, shown_path(file))
            except ExperimentError as error:
                self._slos[key] = _Slos(None, error.diagnostics)
            else:
                wrong = validate_slos(draft, system)
                self._slos[key] = _Slos(draft.slos, (*draft.problems, *wrong))
        return self._slos[key]


def _system(draft: Draft, problems: list[Diagnostic]) -> System | None:
    if draft.system is None:
        return None
    try:
        system = load_system(draft.system)
        for row_type in system.tables.values():
            columns(row_type)
        return system
    except TableError as error:
        problems.append(draft.source.at(("system",), Code.BAD_SYSTEM, f"system '{draft.system}': {error}"))
        return None
    except UnknownSystem as error:
        found, _, rest = str(error).partition("; ")
        problems.append(draft.source.at(("system",), Code.UNKNOWN_NAME, found, rest))
        return None


def _meant(draft: Draft) -> System | None:
    """The installed system that a misspelt name means, where what the file loads is that system's too."""
    near = None if draft.system is None else nearest(draft.system, system_names())
    if near is None or near == draft.system:
        return None
    try:
        system = load_system(near)
    except UnknownSystem:
        return None
    return system if {workload.name for workload in system.workloads} & draft.load.keys() else None


def _gate_lines(draft: Draft) -> tuple[int, ...]:
    return tuple(draft.source.mark(("gates", index)).line for index in range(len(draft.gates)))


def find_slos(file: Path) -> Path | None:
    """The nearest `slos.yaml` in the file's directory or above it."""
    for directory in file.resolve().parents:
        candidate = directory / SLOS_FILE
        if candidate.is_file():
            return candidate
    return None


def shown_path(file: Path) -> str:
    """A path as people know it: relative to where they are, if it is below."""
    try:
        return file.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return file.as_posix()
