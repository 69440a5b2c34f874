"""Running a run directory's experiment again, from what is in it, and holding both histories together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.engine.events import EngineEvent, Handler, SuiteFinished, SuiteStarted
from harness.engine.experiment import Finish, run_experiment
from harness.engine.load import load_run
from harness.engine.rundir import new_suite_directory
from harness.engine.suite import sim_runtime
from harness.history.read import History
from harness.verdict.model import EXIT_CODES, ExperimentResult


@dataclass(frozen=True, slots=True)
class Replayed:
    """`differences`: which arms' histories are not the same; empty when the run was reproduced exactly."""

    result: ExperimentResult
    differences: tuple[str, ...]
    finished: SuiteFinished

    @property
    def identical(self) -> bool:
        return not self.differences


def replay(run: Path, handlers: Sequence[Handler] = (), finish: Finish | None = None) -> Replayed:
    """Run it again beside the original (below the same reports). Raises HistoryError, SpecError."""
    loaded, seed, without = load_run(run)
    suite = new_suite_directory(run.resolve().parent.parent)

    def emit(event: EngineEvent) -> None:
        for handler in handlers:
            handler(event)

    emit(SuiteStarted((loaded.experiment.experiment,), (seed,), 1, str(suite)))
    result = run_experiment(
        loaded, sim_runtime(), suite, seed=seed, without=without, emit=emit, finish=finish
    )
    finished = SuiteFinished((result,), result.verdict, EXIT_CODES[result.verdict], 0.0, str(suite))
    emit(finished)
    return Replayed(result, tuple(_differences(run, result)), finished)


def _differences(run: Path, result: ExperimentResult) -> list[str]:
    with History(run) as history:
        environment = history.environment
    found = [] if environment["history_sha256"] == result.history_sha256 else ["main"]
    for place, arm in zip(environment["arms"], result.arms, strict=True):
        with History(run / place["directory"]) as history:
            if history.environment["history_sha256"] != arm.history_sha256:
                found.append(place["name"])
    return found
