"""Many (experiment, seed) pairs, in this process or in several; the results do not depend on which."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from harness.diagnostics import Diagnostic
from harness.engine.events import EventDispatcher, Handler, SuiteFinished, SuiteStarted
from harness.engine.experiment import Finish
from harness.engine.load import Loaded
from harness.engine.plan import Plan, plan
from harness.engine.rundir import new_suite_directory, run_directory
from harness.engine.runtimes import DEFAULT
from harness.engine.schedule import Schedule
from harness.engine.unsupported import unsupported
from harness.errors import EXIT_EMPTY, UsageError
from harness.gates.result import EXIT_CODES, Verdict, worst
from harness.runtime.options import RuntimeOptions


def run_suite(
    loaded: Sequence[Loaded],
    *,
    seeds: Sequence[int],
    jobs: int,
    without: Sequence[str] = (),
    reports: Path,
    handlers: Sequence[Handler] = (),
    finish: Finish | None = None,
    runtime: RuntimeOptions = DEFAULT,
) -> SuiteFinished:
    """Run every experiment with every seed, up to `jobs` arms at a time. Raises UsageError before it starts.

    Results come in the order of the experiments and seeds, whatever finished first. What breaks costs its own
    run a verdict (`error`), never the others. An interrupt ends everything, faults undone first; what was not
    finished is in the results as interrupted. What a handler raises is raised at the end.
    """
    began_s = time.perf_counter()
    plans = _plans(loaded, seeds, without, runtime, jobs)
    suite = new_suite_directory(reports)
    jobs = max(1, min(jobs, sum(len(planned.arms) for _, planned in plans)))
    audience = EventDispatcher(handlers)
    names = tuple(item.experiment.experiment for item in loaded)
    audience(SuiteStarted(names, tuple(seeds), jobs, str(suite)))
    schedule = Schedule(audience, finish, runtime)
    for item, planned in plans:
        schedule.add(item, planned, run_directory(suite, planned.name, planned.seed))
    results = schedule.run(jobs)
    verdict = Verdict.INTERRUPTED if schedule.interrupted else worst(result.verdict for result in results)
    exit_code = EXIT_CODES[verdict] if results else EXIT_EMPTY
    finished = SuiteFinished(results, verdict, exit_code, time.perf_counter() - began_s, str(suite))
    audience(finished)
    audience.close()
    return finished


def _plans(
    loaded: Sequence[Loaded], seeds: Sequence[int], without: Sequence[str], runtime: RuntimeOptions, jobs: int
) -> list[tuple[Loaded, Plan]]:
    """Everything settled before anything starts, or everything that is wrong."""
    plans: list[tuple[Loaded, Plan]] = []
    problems: list[Diagnostic | str] = [] if seeds else ["no seed was given"]
    problems += runtime.problems(jobs)
    capabilities = runtime.capabilities()
    for item in loaded:
        try:
            plans += [(item, plan(item, seed, without)) for seed in seeds]
        except UsageError as error:
            problems += error.diagnostics
        problems += unsupported(item, capabilities)
    if problems:
        raise UsageError(problems)
    return plans
