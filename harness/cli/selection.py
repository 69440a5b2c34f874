"""Paths of a command line to loaded experiments."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.matching import Selection
from harness.errors import EXIT_EMPTY, HarnessError, UsageError
from harness.experiment.files import SUFFIX, is_experiment_file

if TYPE_CHECKING:
    from harness.engine.read import ReadyExperiment
    from harness.runtime.options import RuntimeOptions


SLOS = "slos.yaml"
ALL = Selection()


class NothingSelected(HarnessError):
    """No experiment was selected: never green by absence."""

    exit_code = EXIT_EMPTY


def experiment_files(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The files, each once, sorted within a directory; hidden directories are left out.

    Raises UsageError for a path that does not exist or is something else, NothingSelected for none at all.
    """
    problems = [_missing(path) for path in paths if not path.exists()]
    problems += [_other(path) for path in paths if path.is_file() and not is_experiment_file(path)]
    if problems:
        raise UsageError(problems)
    found: dict[Path, Path] = {}
    for path in paths:
        for file in _below(path) if path.is_dir() else [path]:
            found.setdefault(file.resolve(), file)
    if not found:
        from harness.text import display_path

        where = ", ".join(display_path(path) for path in paths)
        raise NothingSelected(f"found no *{SUFFIX} in {where}; an experiment is a file of that name")
    return tuple(found.values())


def _other(path: Path) -> str:
    if path.name == SLOS:
        return f"{path}: holds SLOs, not an experiment; they are checked with the experiments below it"
    return f"{path}: is not an experiment; give a *{SUFFIX} file or a directory that holds some"


def _below(directory: Path) -> list[Path]:
    files = (file for file in directory.rglob("*") if is_experiment_file(file) and file.is_file())
    return sorted(file for file in files if not _hidden(file.parent.relative_to(directory)))


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _missing(path: Path) -> str:
    from harness.text import display_path

    parent = path.parent if path.parent.is_dir() else Path()
    names = sorted(entry.name for entry in parent.iterdir() if entry.is_dir() or is_experiment_file(entry))
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {display_path(parent / near[0])}?" if near else ""
    return f"{path}: no such file or directory; give a *{SUFFIX} file or a directory that holds some{hint}"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An experiment that is not run: made for another runtime, or not selected."""

    name: str
    file: str
    reason: str

    def __str__(self) -> str:
        return f"left out: {self.name} ({self.file}): {self.reason}"


def load_files(
    paths: Sequence[Path],
    runtime: RuntimeOptions | None = None,
    variables: Mapping[str, str] | None = None,
) -> tuple[ReadyExperiment, ...]:
    """All experiments, valid for `runtime`, or for the runtime that each is made for.

    Raises InvalidInput with all diagnostics, or NothingSelected.
    """
    from harness.engine.read import read_experiments
    from harness.errors import ExperimentError

    files = experiment_files(paths)
    problems = () if runtime is None else runtime.problems()
    try:
        loaded = read_experiments(files, runtime, variables)
    except ExperimentError as error:
        raise (UsageError([*problems, *error.diagnostics]) if problems else error) from None
    if problems:
        raise UsageError(problems)
    return loaded


def load_all(
    paths: Sequence[Path],
    runtime: RuntimeOptions | None,
    selection: Selection = ALL,
    variables: Mapping[str, str] | None = None,
) -> tuple[tuple[ReadyExperiment, ...], tuple[LeftOut, ...]]:
    """As `load_for`; without a runtime all of them."""
    if runtime is not None:
        return load_for(paths, runtime, selection, variables)
    return _select(load_files(paths, None, variables), selection)


def _select(
    loaded: Sequence[ReadyExperiment], selection: Selection
) -> tuple[tuple[ReadyExperiment, ...], tuple[LeftOut, ...]]:
    """Raises NothingSelected."""
    reasons = [selection.reason(item.name, item.experiment.tags) for item in loaded]
    left_out = tuple(
        LeftOut(item.name, item.display_path, f"not selected by {reason}")
        for item, reason in zip(loaded, reasons, strict=True)
        if reason is not None
    )
    if left_out and len(left_out) == len(loaded):
        raise NothingSelected("\n".join(map(str, left_out)))
    return tuple(item for item, reason in zip(loaded, reasons, strict=True) if reason is None), left_out


def load_for(
    paths: Sequence[Path],
    runtime: RuntimeOptions,
    selection: Selection = ALL,
    variables: Mapping[str, str] | None = None,
) -> tuple[tuple[ReadyExperiment, ...], tuple[LeftOut, ...]]:
    """The selected experiments that can run there, and the others: not selected, or made for another runtime.

    Raises as `load_files`; also UsageError for a file that was named and is made for another runtime, and
    NothingSelected when all are left out.
    """
    loaded, not_selected = _select(load_files(paths, runtime, variables), selection)
    named = {path.resolve() for path in paths if path.is_file()}
    others = [item for item in loaded if item.experiment.runtime not in (None, runtime.name)]
    if refused := [item for item in others if item.file.resolve() in named]:
        raise UsageError(
            f"{item.display_path}: needs --runtime {item.experiment.runtime}" for item in refused
        )
    left_out = tuple(
        LeftOut(item.experiment.experiment, item.display_path, f"needs --runtime {item.experiment.runtime}")
        for item in others
    )
    if left_out and len(left_out) == len(loaded):
        raise NothingSelected("\n".join(map(str, (*not_selected, *left_out))))
    return tuple(item for item in loaded if item not in others), (*not_selected, *left_out)
