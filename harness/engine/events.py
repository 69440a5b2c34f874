"""The one typed event stream out of the engine. Every reporter is a handler: `(EngineEvent) -> None`.

All are frozen and picklable: with `--jobs` they cross process boundaries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.verdict.model import ExperimentResult, Verdict


@dataclass(frozen=True, slots=True)
class SuiteStarted:
    experiments: tuple[str, ...]
    seeds: tuple[int, ...]
    jobs: int
    reports: str


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
    """`change`: applied, undone or failed."""

    experiment: str
    seed: int
    arm: str
    fault: str
    change: str
    at_s: float
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunFinished:
    result: ExperimentResult
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class SuiteFinished:
    results: tuple[ExperimentResult, ...]
    verdict: Verdict
    exit_code: int
    elapsed_s: float
    reports: str


type EngineEvent = SuiteStarted | RunStarted | Progress | FaultChanged | RunFinished | SuiteFinished
type Handler = Callable[[EngineEvent], None]
