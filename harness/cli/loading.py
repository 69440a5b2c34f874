"""Paths of a command line to loaded experiments, with every mistake as a plain message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.outcome import empty, usage
from harness.cli.select import experiment_files

if TYPE_CHECKING:
    from harness.engine.load import Loaded


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An experiment of a directory that another runtime is needed for."""

    name: str
    file: str
    reason: str


def load_for(paths: Sequence[Path], runtime: str) -> tuple[tuple[Loaded, ...], tuple[LeftOut, ...]]:
    """Those that can run there, and those of directories that another runtime is needed for.

    Stops as `load`; also with usage for a file that was named and needs another runtime, and with empty when
    all are left out.
    """
    found = load(paths)
    named = {path.resolve() for path in paths if path.is_file()}
    others = [item for item in found if item.experiment.runtime not in (None, runtime)]
    if refused := [item for item in others if item.file.resolve() in named]:
        raise usage(*(f"{item.shown}: needs --runtime {item.experiment.runtime}" for item in refused))
    left = tuple(
        LeftOut(item.experiment.experiment, item.shown, f"needs --runtime {item.experiment.runtime}")
        for item in others
    )
    if left and len(left) == len(found):
        raise empty(*(f"left out: {one.name} ({one.file}): {one.reason}" for one in left))
    return tuple(item for item in found if item not in others), left


def load(paths: Sequence[Path]) -> tuple[Loaded, ...]:
    """Stops with usage and all diagnostics, or with empty."""
    from harness.engine.load import load_experiments
    from harness.errors import ExperimentError

    files = experiment_files(paths)
    try:
        return load_experiments(files)
    except ExperimentError as error:
        raise usage(*map(str, error.diagnostics)) from error
