"""Running a run directory's experiment again, from what is in it, and holding both histories together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.engine.events import Handler, SuiteFinished
from harness.engine.experiment import Finish
from harness.engine.load import load_run
from harness.engine.plan import UsageError
from harness.engine.rundir import altered_run, read_environment
from harness.engine.runtimes import RUNTIMES
from harness.engine.suite import run_suite
from harness.verdict.model import ExperimentResult


@dataclass(frozen=True, slots=True)
class Replayed:
    """`differences`: which arms' histories are not the same; empty when the run was reproduced exactly.

    `altered`: what of the original is not as it was recorded, in words.
    """

    result: ExperimentResult
    differences: tuple[str, ...]
    altered: tuple[str, ...]
    finished: SuiteFinished

    @property
    def identical(self) -> bool:
        return not self.differences and not self.altered


def replay(
    run: Path,
    handlers: Sequence[Handler] = (),
    finish: Finish | None = None,
    *,
    reports: Path | None = None,
    jobs: int = 1,
) -> Replayed:
    """Run it again, into `reports` (by default beside the original).

    Raises HistoryError, ExperimentError, UsageError.
    """
    # Before `latest` is pointed at the new run: the path may go through it.
    run = run.resolve()
    loaded, seed, without = load_run(run)
    runtime = read_environment(run)["runtime"]
    if runtime not in RUNTIMES or not RUNTIMES[runtime].deterministic:
        raise UsageError(
            [f"{run} was a {runtime} run: nothing in real time happens twice; run it again instead"]
        )
    finished = run_suite(
        [loaded],
        seeds=[seed],
        jobs=jobs,
        without=without,
        reports=run.parent.parent if reports is None else reports,
        handlers=handlers,
        finish=finish,
        runtime=RUNTIMES[runtime].from_arguments({}),
    )
    (result,) = finished.results
    return Replayed(result, _differences(run, result), altered_run(run), finished)


def _differences(run: Path, result: ExperimentResult) -> tuple[str, ...]:
    environment = read_environment(run)
    again = {"main": result.history_sha256, **{arm.name: arm.history_sha256 for arm in result.arms}}
    first = {"main": environment["history_sha256"]}
    for place in environment["arms"]:
        first[place["name"]] = read_environment(run / place["directory"])["history_sha256"]
    return tuple(name for name, sha256 in first.items() if again.get(name) != sha256)
