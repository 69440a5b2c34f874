"""One (experiment, seed): all its arms run, written, judged, reported."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.engine.events import EngineEvent, RunFinished, RunStarted
from harness.engine.judge import judge_run, write_verdict
from harness.engine.load import Loaded
from harness.engine.plan import plan
from harness.engine.run import run_arm
from harness.engine.rundir import arm_directory, environment, run_directory
from harness.history.write import write_history
from harness.runtimes.base import Runtime
from harness.verdict.model import ExperimentResult

type Finish = Callable[[Path, ExperimentResult], None]
"""Called with the run directory and the result, to write reports into it."""


def run_experiment(
    loaded: Loaded,
    runtime: Runtime,
    suite: Path,
    *,
    seed: int,
    without: Sequence[str] = (),
    emit: Callable[[EngineEvent], None],
    finish: Finish | None = None,
) -> ExperimentResult:
    """Run it into a directory of its own below `suite`."""
    began = time.perf_counter()
    planned = plan(loaded, seed, without)
    run = run_directory(suite, planned.name, seed)
    emit(RunStarted(planned.name, seed, tuple(arm.name for arm in planned.arms), planned.duration_s))
    for index, arm in enumerate(planned.arms):
        done = run_arm(runtime, loaded.system, planned, arm, emit)
        write_history(
            run if index == 0 else arm_directory(run, arm.name),
            system=loaded.system,
            records=done.records,
            facts=done.facts,
            experiment_yaml=loaded.text,
            slos_yaml=loaded.slos_text,
            environment=environment(loaded, planned, arm, run, runtime.name),
        )
        del done
        gc.collect()
    result = judge_run(run)
    write_verdict(run, result)
    if finish is not None:
        finish(run, result)
    emit(RunFinished(result, time.perf_counter() - began))
    return result
