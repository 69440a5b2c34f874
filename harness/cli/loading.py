"""Paths of a command line to loaded experiments, with every mistake as a plain message."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.outcome import usage
from harness.cli.select import experiment_files

if TYPE_CHECKING:
    from harness.engine.load import Loaded


def load(paths: Sequence[Path]) -> tuple[Loaded, ...]:
    """Stops with usage and all diagnostics, or with empty."""
    from harness.engine.load import load_experiments
    from harness.spec.diagnostics import SpecError

    files = experiment_files(paths)
    try:
        return load_experiments(files)
    except SpecError as error:
        raise usage(*map(str, error.diagnostics)) from error
