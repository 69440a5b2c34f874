"""Reporters by name, and the handlers of one suite made from the names that a person chose.

A reporter is found in `harness/report/reporters`, among those registered by a module that is imported, as an entry
point of the group `harness.reporters`, or as `module:attribute`.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from harness.diagnostics import unknown_name
from harness.engine.events import EngineEvent, Handler, RunJudged
from harness.errors import UsageError, debug
from harness.report import reporters
from harness.report.reporter import REGISTERED, Reporter, ReporterError
from harness.system.registry import load_entry_point
from harness.text import describe_error

GROUP = "harness.reporters"


@dataclass(frozen=True, slots=True)
class Selection:
    """`--report NAME` or `--report NAME=PATH`."""

    name: str
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class RunArtifacts:
    """Gives `RunJudged` to the reporters that write into run directories. Picklable: workers call it, too."""

    reporters: tuple[type[Reporter], ...]

    def __call__(self, event: RunJudged) -> None:
        for made in self.reporters:
            made()(event)


@dataclass(frozen=True, slots=True)
class Reporters:
    """What a suite reports to: `handlers` of its events, and `finish` for the files of each run directory."""

    handlers: tuple[Handler, ...]
    finish: RunArtifacts


def parse_selection(text: str) -> Selection:
    name, separator, path = text.partition("=")
    if not name or (separator and not path):
        raise UsageError([f"--report {text}: expected NAME or NAME=PATH"])
    return Selection(name, Path(path) if path else None)


def reporter_names() -> dict[str, str]:
    """Every reporter's name with the first sentence of its description, for `harness list`."""
    _import_built_in()
    found = {name: _about(made) for name, made in REGISTERED.items()}
    for point in entry_points(group=GROUP):
        try:
            found.setdefault(point.name, _about(_load_entry_point(point)))
        except UsageError as error:
            found.setdefault(point.name, str(error))
    return dict(sorted(found.items()))


def find_reporter(name: str) -> type[Reporter]:
    """The reporter of that name. Raises UsageError, also when what is found is no `Reporter`."""
    _import_built_in()
    if name in REGISTERED:
        return REGISTERED[name]
    if ":" in name:
        return _load_entry_point(EntryPoint(name, name, GROUP))
    for point in entry_points(group=GROUP):
        if point.name == name:
            return _load_entry_point(point)
    raise UsageError([unknown_name("reporter", name, reporter_names(), also="module:attribute")])


@contextmanager
def open_reporters(
    selected: Iterable[str] = (),
    environment: Mapping[str, str] = os.environ,
    *,
    defaults: Sequence[str] | None = None,
) -> Iterator[Reporters]:
    """Make the reporters that are `selected` (NAME or NAME=PATH) and the default ones; close them at the end.

    `defaults`: names, instead of the reporters that are default ones in this environment. Raises UsageError for a
    name that is unknown, or a path that cannot be written to.
    """
    _import_built_in()
    if defaults is None:
        defaults = [name for name, made in REGISTERED.items() if made.is_default(environment)]
    selections = dict.fromkeys([*map(Selection, defaults), *map(parse_selection, selected)])
    found = [(selection, find_reporter(selection.name)) for selection in selections]
    # What prints comes last: it names the files that the others write, and how everything ended.
    found.sort(key=lambda item: (item[1].file is None, item[1].prints_end))
    with ExitStack() as stack:
        handlers: list[Handler] = []
        for selection, made in found:
            handler = _Named(selection.name, _make(selection, made))
            stack.callback(handler.reporter.close)
            handlers.append(handler)
        artifacts = (made for selection, made in found if made.artifacts and selection.path is None)
        yield Reporters(tuple(handlers), RunArtifacts(tuple(artifacts)))


@dataclass(frozen=True, slots=True, eq=False)
class _Named:
    """A reporter whose errors say whose they are."""

    name: str
    reporter: Reporter

    def __call__(self, event: EngineEvent) -> None:
        try:
            self.reporter(event)
        except Exception as error:
            debug(error)
            raise ReporterError(f"reporter '{self.name}' failed: {describe_error(error)}") from error


def _make(selection: Selection, made: type[Reporter]) -> Reporter:
    if selection.path is not None:
        if made.file is None:
            raise UsageError([f"--report {selection.name}={selection.path}: {selection.name} writes no file"])
        try:
            selection.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError([f"--report {selection.name}={selection.path}: {error.strerror}"]) from error
    return made(selection.path)


def _import_built_in() -> None:
    for module in pkgutil.iter_modules(reporters.__path__, f"{reporters.__name__}."):
        importlib.import_module(module.name)


def _load_entry_point(point: EntryPoint) -> type[Reporter]:
    try:
        found = load_entry_point(point)
    except Exception as error:
        raise UsageError(
            [f"reporter '{point.name}' cannot be imported: {type(error).__name__}: {error}"]
        ) from error
    if not (isinstance(found, type) and issubclass(found, Reporter)):
        raise UsageError(
            [f"reporter '{point.name}': {point.value} is not a harness.report.reporter.Reporter"]
        )
    return found


def _about(made: type[Reporter]) -> str:
    return " ".join((made.__doc__ or "").split("\n\n")[0].split())
