"""Experiment files to what the engine runs: parsed, with their SLOs and their system, and found sensible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.engine.validate import validate, validate_slos
from harness.faults.catalogue import FAULTS
from harness.faults.primitives import Primitive
from harness.history.read import History
from harness.history.write import EXPERIMENT, SLOS
from harness.spec.diagnostics import Diagnostic, SpecError
from harness.spec.model import Experiment, Slo
from harness.spec.parse import Draft, parse_draft, parse_slos_draft, read_text
from harness.system import System, UnknownSystem, load_system

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


def load_experiments(
    files: Sequence[Path], available: frozenset[Primitive] = frozenset(Primitive)
) -> tuple[Loaded, ...]:
    """All of them, or SpecError with everything that is wrong in any of them or in their SLOs.

    SLOs come from the nearest `slos.yaml` upward from each file.
    """
    problems: list[Diagnostic] = []
    loaded: list[Loaded] = []
    names: dict[str, str] = {}
    for file in files:
        try:
            found = _load(file, available)
        except SpecError as error:
            problems += error.diagnostics
            continue
        name = found.experiment.experiment
        if name in names:
            problems.append(
                Diagnostic(
                    found.shown,
                    1,
                    1,
                    f"an experiment '{name}' is there already: {names[name]}",
                    "names are unique",
                )
            )
        names.setdefault(name, found.shown)
        loaded.append(found)
    if problems:
        raise SpecError(problems)
    return tuple(loaded)


def _load(file: Path, available: frozenset[Primitive]) -> Loaded:
    shown = shown_path(file)
    text = read_text(file, shown)
    slos_file = find_slos(file)
    slos_text = "{}\n" if slos_file is None else read_text(slos_file, shown_path(slos_file))
    return _check(file, shown, text, slos_file, slos_text, available)


def _check(
    file: Path,
    shown: str,
    text: str,
    slos_file: Path | None,
    slos_text: str,
    available: frozenset[Primitive],
) -> Loaded:
    draft = parse_draft(text, shown, FAULTS)
    problems = list(draft.problems)
    slos_draft = None
    if slos_file is None:
        if draft.gates:
            problems.append(
                Diagnostic(
                    shown, 0, 0, f"found no {SLOS_FILE} beside it or above it", "SLOs are stated there"
                )
            )
    else:
        try:
            slos_draft = parse_slos_draft(slos_text, shown_path(slos_file))
        except SpecError as error:
            problems += error.diagnostics
        else:
            problems += slos_draft.problems
    system = _system(draft, problems)
    if system is not None:
        if slos_draft is not None:
            problems += validate_slos(slos_draft.source, slos_draft.slos, system)
        problems += validate(draft, system, None if slos_draft is None else slos_draft.slos, available)
    if problems or system is None or draft.experiment is None:
        raise SpecError(problems)
    slos = (
        {} if slos_draft is None else {name: slo for name, slo in slos_draft.slos.items() if slo is not None}
    )
    lines = tuple(draft.source.mark(("gates", index)).line for index in range(len(draft.gates)))
    return Loaded(file, shown, draft.experiment, system, slos, slos_file, text, slos_text, lines)


def load_run(run: Path) -> tuple[Loaded, int, tuple[str, ...]]:
    """The experiment of a run directory, its seed and the safeguards it went without.

    Raises HistoryError for what is no run directory, SpecError for an experiment that is not valid any more.
    """
    with History(run) as history:
        environment, text, slos_text = history.environment, history.experiment_yaml, history.slos_yaml
    slos_file = None if environment["slos_file"] is None else run / SLOS
    loaded = _check(run / EXPERIMENT, environment["file"], text, slos_file, slos_text, frozenset(Primitive))
    return loaded, environment["seed"], tuple(environment["without"])


def _system(draft: Draft, problems: list[Diagnostic]) -> System | None:
    if draft.system is None:
        return None
    try:
        return load_system(draft.system)
    except UnknownSystem as error:
        found, _, rest = str(error).partition("; ")
        problems.append(draft.source.at(("system",), found, rest))
        return None


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
