"""Paths of a command line to loaded experiments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.files import NothingSelected, experiment_files
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.engine.read import ReadyExperiment
    from harness.runtime.options import RuntimeOptions


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An experiment of a directory that is made for another runtime."""

    name: str
    file: str
    reason: str

    def __str__(self) -> str:
        return f"left out: {self.name} ({self.file}): {self.reason}"


def load_files(paths: Sequence[Path], runtime: RuntimeOptions | None = None) -> tuple[ReadyExperiment, ...]:
    """All experiments, valid for `runtime`, or for the runtime that each is made for.

    Raises InvalidInput with all diagnostics, or NothingSelected.
    """
    from harness.engine.read import read_experiments
    from harness.errors import ExperimentError

    files = experiment_files(paths)
    problems = () if runtime is None else runtime.problems()
    try:
        loaded = read_experiments(files, runtime)
    except ExperimentError as error:
        raise (UsageError([*problems, *error.diagnostics]) if problems else error) from None
    if problems:
        raise UsageError(problems)
    return loaded


def load_all(
    paths: Sequence[Path], runtime: RuntimeOptions | None
) -> tuple[tuple[ReadyExperiment, ...], tuple[LeftOut, ...]]:
    """As `load_for`; without a runtime all of them."""
    return (load_files(paths), ()) if runtime is None else load_for(paths, runtime)


def load_for(
    paths: Sequence[Path], runtime: RuntimeOptions
) -> tuple[tuple[ReadyExperiment, ...], tuple[LeftOut, ...]]:
    """The experiments that can run there, and those of directories that are made for another runtime.

    Raises as `load_files`; also UsageError for a file that was named and is made for another runtime, and
    NothingSelected when all are left out.
    """
    loaded = load_files(paths, runtime)
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
        raise NothingSelected("\n".join(map(str, left_out)))
    return tuple(item for item in loaded if item not in others), left_out
