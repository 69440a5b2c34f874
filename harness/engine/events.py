"""The one typed event stream out of the engine. Every reporter is a handler: `(EngineEvent) -> None`.

All are frozen and, but for `RunJudged`, picklable: with `--jobs` they cross process boundaries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from harness.gates.result import EXIT_CODES, Verdict, worst
from harness.verdict.model import ExperimentResult, PooledResult
from harness.verdict.recorded import RecordedRun

type Change = Literal["applied", "undone", "failed"]
"""What has happened to a fault."""


@dataclass(frozen=True, slots=True)
class SuiteStarted:
    """Runs are about to begin, at most `jobs` arms at a time. `reports`: the directory of the suite.

    `until_decided`: not all of the seeds may be needed.
    """

    experiments: tuple[str, ...]
    seeds: tuple[int, ...]
    jobs: int
    reports: str
    until_decided: bool = False


@dataclass(frozen=True, slots=True)
class RunStarted:
    """One (experiment, seed) began. `duration_s` is the virtual time expected for one arm."""

    experiment: str
    seed: int
    arms: tuple[str, ...]
    duration_s: float


@dataclass(frozen=True, slots=True)
class Progress:
    """At most a few a second. `done_s` of `total_s` run seconds, `clients` active now."""

    experiment: str
    seed: int
    arm: str
    done_s: float
    total_s: float
    clients: int


@dataclass(frozen=True, slots=True)
class FaultChanged:
    """A fault was applied or undone, or could not be, `at_s` seconds into the run."""

    experiment: str
    seed: int
    arm: str
    fault: str
    change: Change
    at_s: float
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunJudged:
    """A run is judged and its directory is complete, but not yet visible: files written into it appear with it.

    Emitted in the process that judged the run, to `Finish` alone; the only event that is not picklable.
    `run.directory` is where the files are now, `result.run` where they will be.
    """

    result: ExperimentResult
    run: RecordedRun


@dataclass(frozen=True, slots=True)
class RunFinished:
    """A run is judged and its directory is visible. `elapsed_s`: real seconds."""

    result: ExperimentResult
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class SuiteFinished:
    """All runs are over. `results`: in the order of experiments and seeds. `elapsed_s`: real seconds."""

    results: tuple[ExperimentResult, ...]
    verdict: Verdict
    exit_code: int
    elapsed_s: float
    reports: str
    pooled: tuple[PooledResult, ...] = ()
    """Of each experiment that ran with several seeds, in order."""
    reporter_failed: bool = False
    """A handler that was called before this one has raised."""


type EngineEvent = (
    SuiteStarted | RunStarted | Progress | FaultChanged | RunJudged | RunFinished | SuiteFinished
)
"""An event of a suite."""

type Handler = Callable[[EngineEvent], None]
"""Called with every event, in order."""

type Finish = Callable[[RunJudged], None]
"""Writes files into the run directory. Picklable; what it raises makes the run an error."""


class EventDispatcher:
    """All handlers as one. A handler that raises gets no further events; it disturbs neither the run nor the others.

    What it raised is raised by `close`, when everything is over: a broken report is not a quiet one. Handlers after it
    hear the same verdict of the suite, and the exit code of an error.
    """

    def __init__(self, handlers: Iterable[Handler]) -> None:
        self._handlers = list(handlers)
        self._errors: list[Exception] = []

    def __call__(self, event: EngineEvent) -> None:
        for handler in tuple(self._handlers):
            if self._errors and isinstance(event, SuiteFinished):
                exit_code = EXIT_CODES[worst([event.verdict, Verdict.ERROR])]
                event = replace(event, exit_code=exit_code, reporter_failed=True)
            try:
                handler(event)
            except Exception as error:
                self._handlers.remove(handler)
                self._errors.append(error)

    def close(self) -> None:
        if len(self._errors) == 1:
            raise self._errors[0]
        if self._errors:
            raise ExceptionGroup("reporters failed", self._errors)
