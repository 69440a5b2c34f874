"""Which experiment files a command line means: files as given, directories searched for `*.chaos.yaml`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from harness.cli.outcome import empty, shown, usage

SUFFIX = ".chaos.yaml"
SLOS = "slos.yaml"


def experiment_files(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The files, each once, sorted within a directory; hidden directories are left out.

    Stops with usage (a path that is not there, or is something else) or empty.
    """
    complaints = [_missing(path) for path in paths if not path.exists()]
    complaints += [_other(path) for path in paths if path.is_file() and _is_other(path)]
    if complaints:
        raise usage(*complaints)
    found: dict[Path, Path] = {}
    for path in paths:
        for file in _below(path) if path.is_dir() else [path]:
            found.setdefault(file.resolve(), file)
    if not found:
        where = ", ".join(shown(path) for path in paths)
        raise empty(f"found no *{SUFFIX} in {where}; an experiment is a file of that name")
    return tuple(found.values())


def _is_other(path: Path) -> bool:
    return path.suffix not in (".yaml", ".yml") or path.name == SLOS


def _other(path: Path) -> str:
    if path.name == SLOS:
        return f"{path}: holds SLOs, not an experiment; they are checked with the experiments below it"
    return f"{path}: is not an experiment; give a *{SUFFIX} file or a directory that holds some"


def _below(directory: Path) -> list[Path]:
    files = directory.rglob(f"*{SUFFIX}")
    return sorted(file for file in files if not _hidden(file.relative_to(directory)) and file.is_file())


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _missing(path: Path) -> str:
    parent = path.parent if path.parent.is_dir() else Path()
    names = sorted(entry.name for entry in parent.iterdir() if entry.is_dir() or entry.name.endswith(SUFFIX))
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {shown(parent / near[0])}?" if near else ""
    return f"{path}: no such file or directory; give a *{SUFFIX} file or a directory that holds some{hint}"
