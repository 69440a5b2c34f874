"""One (experiment, seed): its arms run and written one by one, then put together, judged and reported.

The arms may run in any order and in different processes (`record_arm`); `conclude` makes the run directory
of them, which appears complete or not at all.
"""

from __future__ import annotations

import gc
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.engine.events import EngineEvent, RunFinished, RunStarted
from harness.engine.judge import judge_run, write_verdict
from harness.engine.load import Loaded, shown_path
from harness.engine.plan import Plan, plan
from harness.engine.run import run_arm
from harness.engine.rundir import (
    ARMS,
    environment,
    run_command,
    run_directory,
    staging_directory,
)
from harness.gates.result import Verdict
from harness.history.environment import read_environment
from harness.history.errors import HistoryError
from harness.history.write import write_history
from harness.runtime.options import RuntimeOptions
from harness.verdict.model import ExperimentResult
from harness.verdict.recorded import RecordedRun

type Emit = Callable[[EngineEvent], None]

type Finish = Callable[[RecordedRun, ExperimentResult], None]
"""Called with the recorded run and its result, to write reports into its directory, which is still hidden then."""


def run_experiment(
    loaded: Loaded,
    runtime: RuntimeOptions,
    suite: Path,
    *,
    seed: int,
    without: Sequence[str] = (),
    emit: Emit,
    finish: Finish | None = None,
) -> ExperimentResult:
    """Run it here, arm by arm, into a directory of its own below `suite`. Raises UsageError before it starts."""
    began_s = time.perf_counter()
    planned = plan(loaded, seed, without)
    run = run_directory(suite, planned.name, seed)
    refuse_existing(run)
    emit(run_started(planned))
    try:
        for index in range(len(planned.arms)):
            record_arm(loaded, runtime, planned, run, index, emit)
        result = conclude(run, finish)
    except BaseException:
        discard(run)
        raise
    emit(RunFinished(result, time.perf_counter() - began_s))
    return result


def run_started(planned: Plan) -> RunStarted:
    return RunStarted(planned.name, planned.seed, tuple(arm.name for arm in planned.arms), planned.duration_s)


def record_arm(
    loaded: Loaded, runtime: RuntimeOptions, planned: Plan, run: Path, index: int, emit: Emit
) -> None:
    """Run the arm of that index and write its history. Raises HistoryError, Interrupted."""
    arm = planned.arms[index]
    done = run_arm(runtime.create(), loaded.system, planned, arm, emit)
    write_history(
        staging_directory(run) / str(index),
        system=loaded.system,
        records=done.records,
        metadata=done.metadata,
        experiment_yaml=loaded.text,
        slos_yaml=loaded.slos_text,
        environment=environment(loaded, planned, arm, run, runtime),
    )
    # The next arm begins with the memory that the first one began with.
    del done
    gc.collect()


def conclude(run: Path, finish: Finish | None = None) -> ExperimentResult:
    """Put the arms together into the run directory, judge it, report it. Raises HistoryError.

    What was recorded is kept even when judging or reporting breaks: `harness judge` can be asked again.
    """
    refuse_existing(run)
    staging = staging_directory(run)
    main = staging / "0"
    places = read_environment(main).arms
    if places:
        (main / ARMS).mkdir()
    for index, place in enumerate(places, start=1):
        os.rename(staging / str(index), main / place.directory)
    try:
        with RecordedRun(main) as recorded:
            result = judge_run(recorded)
            write_verdict(main, result)
            if finish is not None:
                result = _finished(recorded, result, finish)
    except Exception:
        _publish(main, run)
        raise
    _publish(main, run)
    return result


def _finished(recorded: RecordedRun, result: ExperimentResult, finish: Finish) -> ExperimentResult:
    try:
        finish(recorded, result)
    except Exception as error:  # no report, no green
        reason = f"its reports could not be written: {type(error).__name__}: {error}"
        return replace(result, verdict=Verdict.ERROR, reason=f"{reason} (judged {result.verdict.value})")
    return result


def _publish(main: Path, run: Path) -> None:
    os.rename(main, run)
    staging_directory(run).rmdir()


def refuse_existing(run: Path) -> None:
    if run.exists():
        raise HistoryError(f"{run} is there already; a run directory is written once")


def discard(run: Path) -> None:
    """Take away what an unfinished run has left."""
    shutil.rmtree(staging_directory(run), ignore_errors=True)


def broken(
    loaded: Loaded, planned: Plan, run: Path, runtime: RuntimeOptions, verdict: Verdict, reason: str
) -> ExperimentResult:
    """What is said of a run that has come to no history: the harness or its process broke, or was stopped."""
    return ExperimentResult(
        name=planned.name,
        title=loaded.experiment.title,
        file=loaded.shown,
        verdict=verdict,
        reason=reason,
        seed=planned.seed,
        run=shown_path(run),
        history_sha256="",
        replay=run_command(planned, runtime),
        gates=(),
        faults=(),
        without=planned.without,
    )
