"""Which experiment files a command line means: files as given, directories searched for experiments."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from harness.errors import EXIT_EMPTY, HarnessError, UsageError
from harness.experiment.files import SUFFIX, is_experiment_file

SLOS = "slos.yaml"


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
