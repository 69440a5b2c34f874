"""Many (experiment, seed) pairs, in this process or in several; the results do not depend on which."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from harness.diagnostics import Diagnostic
from harness.engine.events import EventDispatcher, Finish, Handler, SuiteFinished, SuiteStarted
from harness.engine.plan import Plan, make_plan
from harness.engine.read import ReadyExperiment, unsupported
from harness.engine.rundir import new_suite_directory, run_directory
from harness.engine.runtimes import DEFAULT
from harness.engine.schedule import Schedule
from harness.errors import EXIT_EMPTY, UsageError
from harness.gates.result import EXIT_CODES, Verdict, worst
from harness.runtime.options import RuntimeOptions
from harness.verdict.model import ExperimentResult


def run(
    experiment: ReadyExperiment,
    *,
    seed: int = 1,
    runtime: RuntimeOptions = DEFAULT,
    without: Sequence[str] = (),
    reports: Path | str = "reports",
    handlers: Sequence[Handler] = (),
) -> ExperimentResult:
    """Run one experiment with one seed and judge it. The result names the run directory, below `reports`.

    `without`: safeguards that are switched off. `handlers`: called with every event. Raises UsageError where the
    experiment cannot run like that, before anything starts.
    """
    finished = run_suite(
        [experiment],
        seeds=[seed],
        jobs=1,
        without=without,
        reports=Path(reports),
        handlers=handlers,
        runtime=runtime,
    )
    (result,) = finished.results
    return result


def run_suite(
    experiments: Sequence[ReadyExperiment],
    *,
    seeds: Sequence[int],
    jobs: int,
    without: Sequence[str] = (),
    reports: Path,
    handlers: Sequence[Handler] = (),
    finish: Finish | None = None,
    runtime: RuntimeOptions = DEFAULT,
) -> SuiteFinished:
    """Run every experiment with every seed, up to `jobs` arms at a time.

    Results are in the order of the experiments and seeds. A run that breaks gets the verdict `error`; the others go
    on. An interrupt ends everything, after faults are undone; unfinished runs get the verdict `interrupted`. What a
    handler raises is raised at the end. Raises UsageError before anything starts.
    """
    started_s = time.perf_counter()
    plans = _make_plans(experiments, seeds, without, runtime, jobs)
    suite = new_suite_directory(reports)
    jobs = max(1, min(jobs, sum(len(plan.arms) for _, plan in plans)))
    dispatcher = EventDispatcher(handlers)
    dispatcher(SuiteStarted(tuple(one.name for one in experiments), tuple(seeds), jobs, str(suite)))
    schedule = Schedule(dispatcher, finish, runtime)
    for experiment, plan in plans:
        schedule.add(experiment, plan, run_directory(suite, plan.name, plan.seed))
    results = schedule.run(jobs)
    verdict = Verdict.INTERRUPTED if schedule.interrupted else worst(result.verdict for result in results)
    exit_code = EXIT_CODES[verdict] if results else EXIT_EMPTY
    finished = SuiteFinished(results, verdict, exit_code, time.perf_counter() - started_s, str(suite))
    dispatcher(finished)
    dispatcher.close()
    return finished


def _make_plans(
    experiments: Sequence[ReadyExperiment],
    seeds: Sequence[int],
    without: Sequence[str],
    runtime: RuntimeOptions,
    jobs: int,
) -> list[tuple[ReadyExperiment, Plan]]:
    """A plan for every experiment and seed. Raises UsageError with every problem."""
    plans: list[tuple[ReadyExperiment, Plan]] = []
    problems: list[Diagnostic | str] = [] if seeds else ["no seed was given"]
    problems += runtime.problems(jobs)
    capabilities = runtime.capabilities()
    for experiment in experiments:
        try:
            plans += [(experiment, make_plan(experiment, seed, without)) for seed in seeds]
        except UsageError as error:
            problems += error.diagnostics
        problems += unsupported(experiment, capabilities)
    if problems:
        raise UsageError(problems)
    return plans
