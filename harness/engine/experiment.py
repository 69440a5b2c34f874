"""One (experiment, seed): its arms are run and written one by one, then joined, judged and reported.

The arms may run in any order and in different processes (`record_arm`); `conclude` makes the run directory
of them, which appears complete or not at all.
"""

from __future__ import annotations

import gc
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.engine.arm import run_arm
from harness.engine.budget import real_time_budget
from harness.engine.events import Finish, Handler, RunFinished, RunJudged, RunStarted
from harness.engine.judge import judge_run, write_verdict
from harness.engine.plan import Plan, make_plan
from harness.engine.read import ReadyExperiment
from harness.engine.rundir import (
    ARMS,
    environment,
    run_command,
    run_directory,
    staging_directory,
)
from harness.errors import debug
from harness.gates.result import Verdict
from harness.history.metadata import HistoryError, read_environment
from harness.history.write import write_history
from harness.runtime.options import RuntimeOptions, create_runtime
from harness.text import describe_error, display_path
from harness.verdict.model import ExperimentResult
from harness.verdict.recorded import RecordedRun


def run_experiment(
    experiment: ReadyExperiment,
    runtime: RuntimeOptions,
    suite: Path,
    *,
    seed: int,
    without: Sequence[str] = (),
    budget_s: float | None = None,
    emit: Handler,
    finish: Finish | None = None,
) -> ExperimentResult:
    """Run it in this process, arm by arm, into a directory below `suite`. Raises UsageError before it starts."""
    started_s = time.perf_counter()
    plan = make_plan(experiment, seed, without, budget_s)
    run = run_directory(suite, plan.name, seed)
    _refuse_existing(run)
    emit(run_started(plan))
    try:
        for index in range(len(plan.arms)):
            record_arm(experiment, runtime, plan, run, index, emit)
        result = conclude(run, finish)
    except BaseException:
        discard(run)
        raise
    emit(RunFinished(result, time.perf_counter() - started_s))
    return result


def run_started(plan: Plan) -> RunStarted:
    return RunStarted(plan.name, plan.seed, tuple(arm.name for arm in plan.arms), plan.duration_s)


SIM_GRACE_S, LIVE_GRACE_S = 3.0, 60.0
"""How long an arm may take to end once it is interrupted: live, faults are undone with processes that may be slow."""


def record_arm(
    experiment: ReadyExperiment,
    runtime: RuntimeOptions,
    plan: Plan,
    run: Path,
    index: int,
    emit: Handler,
    limit_s: float | None = None,
) -> None:
    """Run the arm of that index and write its history. Raises HistoryError, Interrupted, BudgetExceeded.

    `limit_s`: what is left of the real time of the suite.
    """
    arm = plan.arms[index]
    with real_time_budget(
        plan.budget_s if limit_s is None else min(plan.budget_s, limit_s),
        f"arm {arm.name}" if limit_s is None or plan.budget_s <= limit_s else "the suite",
        SIM_GRACE_S if runtime.deterministic else LIVE_GRACE_S,
    ):
        arm_run = run_arm(create_runtime(runtime), experiment.system, plan, arm, emit)
    write_history(
        staging_directory(run) / str(index),
        system=experiment.system,
        records=arm_run.records,
        metadata=arm_run.metadata,
        experiment_yaml=experiment.text,
        slos_yaml=experiment.slos_text,
        environment=environment(experiment, plan, arm, run, runtime),
        clients=arm_run.clients,
    )
    # The next arm begins with the memory that the first one began with.
    del arm_run
    gc.collect()


def conclude(run: Path, finish: Finish | None = None) -> ExperimentResult:
    """Put the arms together into the run directory, judge it, report it. Raises HistoryError.

    What was recorded is kept where judging or reporting breaks: `harness judge` can judge it again.
    """
    _refuse_existing(run)
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
                result = _write_reports(recorded, result, finish)
    except Exception:
        _publish(main, run)
        raise
    _publish(main, run)
    return result


def _write_reports(recorded: RecordedRun, result: ExperimentResult, finish: Finish) -> ExperimentResult:
    try:
        finish(RunJudged(result, recorded))
    except Exception as error:  # no report, no green
        debug(error)
        reason = f"its reports could not be written: {describe_error(error)}"
        return replace(result, verdict=Verdict.ERROR, reason=f"{reason} (judged {result.verdict.value})")
    return result


def _publish(main: Path, run: Path) -> None:
    os.rename(main, run)
    staging_directory(run).rmdir()


def _refuse_existing(run: Path) -> None:
    if run.exists():
        raise HistoryError(f"{run} exists; a run directory is written once")


def discard(run: Path) -> None:
    """Remove what an unfinished run has left."""
    shutil.rmtree(staging_directory(run), ignore_errors=True)


def result_without_history(
    experiment: ReadyExperiment, plan: Plan, run: Path, runtime: RuntimeOptions, verdict: Verdict, reason: str
) -> ExperimentResult:
    """The result of a run without a history: the harness or its process broke, or it was interrupted."""
    return ExperimentResult(
        name=plan.name,
        title=experiment.experiment.title,
        file=experiment.display_path,
        verdict=verdict,
        reason=reason,
        seed=plan.seed,
        run=display_path(run),
        history_sha256="",
        replay=run_command(plan, runtime),
        gates=(),
        faults=(),
        without=plan.without,
    )
