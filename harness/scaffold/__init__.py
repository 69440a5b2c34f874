"""The directories that `harness init` writes: a small system of one's own, or experiments on the reference system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.errors import EXIT_USAGE, HarnessError

_HERE = Path(__file__).parent

TEMPLATES: Mapping[str, str] = {
    "own": "a small system of your own (two services, one kind of client), an experiment and a test",
    "streaming": "the experiments on the reference streaming service, with their SLOs",
}
"""Template name to what it holds."""

SUITE = ("access", "control", "delivery")
"""Directories of experiments that the template `streaming` has."""


class ScaffoldError(HarnessError):
    """The template cannot be written; nothing was."""

    exit_code = EXIT_USAGE


def write_template(name: str, directory: Path) -> tuple[Path, ...]:
    """Write the template's files below `directory` and return them. Raises ScaffoldError, before anything is written,
    for an unknown template and for files that exist."""
    if name not in TEMPLATES:
        raise ScaffoldError(f"unknown template '{name}'; allowed: {', '.join(TEMPLATES)}")
    files = {directory / target: source for target, source in _files(name)}
    if existing := sorted(file for file in files if file.exists()):
        names = ", ".join(map(str, existing))
        raise ScaffoldError(f"{names}: exists already; give another directory, or move it away")
    try:
        for file, source in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(source.read_bytes())
    except OSError as error:
        raise ScaffoldError(f"{error.filename or directory}: cannot be written: {error.strerror}") from error
    return tuple(files)


def _files(name: str) -> Iterator[tuple[Path, Path]]:
    """Each file of a template: where it goes, and where it is."""
    if name == "own":
        sources = [(Path(), _HERE / "own")]
    else:
        # In a wheel the experiments are beside this file; in a checkout they are at its top.
        packed = _HERE / "streaming" / "experiments"
        root = packed if packed.is_dir() else _HERE.parents[1] / "experiments"
        yield Path("experiments") / "slos.yaml", root / "slos.yaml"
        yield Path("experiments") / "first.chaos.yaml", _HERE / "streaming" / "first.chaos.yaml"
        sources = [(Path("experiments") / area, root / area) for area in SUITE]
    for target, source in sources:
        for file in sorted(source.rglob("*")):
            if file.suffix in (".py", ".yaml") and file.is_file():
                yield target / file.relative_to(source), file
