"""`Reporter`: a handler of the engine's events that is chosen by name, and the register of those names.

One file makes one::

    @reporter("gates-csv")
    class GatesCsv(Reporter):
        \"\"\"One row for each gate, as CSV.\"\"\"

        file = "gates.csv"

        def __call__(self, event: EngineEvent) -> None:
            if isinstance(event, SuiteFinished):
                self.suite_file(event).write_text(...)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from harness.engine.events import EngineEvent, SuiteFinished
from harness.errors import HarnessError

REGISTERED: dict[str, type[Reporter]] = {}


class ReporterError(HarnessError):
    """A reporter raised; the message names it and says what it raised."""


class Reporter(ABC):
    """Hears every event of a suite, in order. The first sentence of the docstring is what `harness list` shows.

    `default`: it reports without being selected. `file`: the name of the file that it writes into the suite's
    directory, unless `--report NAME=PATH` says where; None if it writes no file. `artifacts`: it writes into run
    directories, too. Then an instance of its own, made in the process that judged the run, hears `RunJudged`; what that
    instance raises makes the run an error. `prints_end`: it hears of the end after all others, and says with which exit
    code it ends.
    """

    default: ClassVar[bool] = False
    file: ClassVar[str | None] = None
    artifacts: ClassVar[bool] = False
    prints_end: ClassVar[bool] = False

    def __init__(self, path: Path | None = None) -> None:
        self.path = path

    @classmethod
    def is_default(cls, environment: Mapping[str, str]) -> bool:
        """Whether it reports without being selected, in this environment."""
        return cls.default

    @abstractmethod
    def __call__(self, event: EngineEvent) -> None: ...

    def close(self) -> None:  # noqa: B027 - most reporters have nothing to close
        """Called once when everything is over, whatever happened."""

    def suite_file(self, event: SuiteFinished) -> Path:
        """The file to write: `path`, or `file` in the suite's directory. Its directory exists."""
        target = self.path or Path(event.reports) / (self.file or type(self).__name__)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target


def reporter[R: type[Reporter]](name: str) -> Callable[[R], R]:
    """Register a class under a name, for `--report NAME`. Raises HarnessError if the name is taken."""

    def register(found: R) -> R:
        other = REGISTERED.setdefault(name, found)
        if (other.__module__, other.__qualname__) != (found.__module__, found.__qualname__):
            raise HarnessError(f"duplicate reporter '{name}': {other.__module__} and {found.__module__}")
        REGISTERED[name] = found
        return found

    return register
