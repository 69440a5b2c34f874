"""Running the experiment of a run directory again, and comparing both histories."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from harness.engine.events import EngineEvent, Finish, Handler, SuiteFinished
from harness.engine.plan import MAIN
from harness.engine.read import read_recorded
from harness.engine.runtimes import RUNTIMES
from harness.engine.suite import run_suite
from harness.errors import EXIT_ERROR, UsageError
from harness.verdict.model import ExperimentResult
from harness.verdict.recorded import RecordedRun


@dataclass(frozen=True, slots=True)
class Replayed:
    """`differences`: the arms whose histories differ; empty when the run was reproduced exactly.

    `altered`: the files of the original that are not as they were recorded.
    """

    result: ExperimentResult
    differences: tuple[str, ...]
    altered: tuple[str, ...]
    finished: SuiteFinished

    @property
    def identical(self) -> bool:
        return not self.differences and not self.altered


def replay_run(
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
    with RecordedRun(run) as recorded:
        loaded, environment = read_recorded(recorded), recorded.environment
        hashes, altered = recorded.history_hashes, recorded.alterations
    runtime = RUNTIMES.get(environment.runtime)
    if runtime is None or not runtime.deterministic:
        raise UsageError(
            [f"{run} was a {environment.runtime} run: it does not repeat exactly; run it again instead"]
        )

    def compared(event: EngineEvent) -> EngineEvent:
        """The end of the suite with the exit code of the replay."""
        if not isinstance(event, SuiteFinished):
            return event
        (result,) = event.results
        if altered or _differences(hashes, result):
            return replace(event, exit_code=EXIT_ERROR)
        return event

    finished = run_suite(
        [loaded],
        seeds=[environment.seed],
        jobs=jobs,
        without=environment.without,
        reports=run.parent.parent if reports is None else reports,
        handlers=[partial(_handle, handler, compared) for handler in handlers],
        finish=finish,
        runtime=runtime.from_arguments({}),
    )
    (result,) = finished.results
    return Replayed(result, _differences(hashes, result), altered, finished)


def _handle(handler: Handler, change: Callable[[EngineEvent], EngineEvent], event: EngineEvent) -> None:
    handler(change(event))


def _differences(recorded: Mapping[str, str], result: ExperimentResult) -> tuple[str, ...]:
    again = {MAIN: result.history_sha256, **{arm.name: arm.history_sha256 for arm in result.arms}}
    return tuple(name for name, sha256 in recorded.items() if again.get(name) != sha256)
