"""Which files hold experiments, by their names: the same for the command line and for pytest."""

from __future__ import annotations

from pathlib import Path

SUFFIX = ".chaos.yaml"
"""How messages name the ending."""

_SUFFIXES = (SUFFIX, ".chaos.yml")


def is_experiment_file(path: Path) -> bool:
    """Whether the name ends in `.chaos.yaml` or `.chaos.yml`, in whatever case."""
    return path.name.lower().endswith(_SUFFIXES)
