"""Many (experiment, seed) pairs, in this process or in several; the results do not depend on which."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.diagnostics import Diagnostic
from harness.engine.budget import ATTEMPTS, BudgetExceeded
from harness.engine.events import EventDispatcher, Finish, Handler, RunFinished, SuiteFinished, SuiteStarted
from harness.engine.executor import Executor, Outcome, ProcessExecutor, SerialExecutor
from harness.engine.experiment import (
    LIVE_GRACE_S,
    SIM_GRACE_S,
    conclude,
    discard,
    record_arm,
    result_without_history,
    run_started,
)
from harness.engine.plan import Plan, make_plan
from harness.engine.read import ExperimentTexts, ReadyExperiment, unsupported
from harness.engine.rundir import new_suite_directory, run_directory
from harness.engine.runtimes import DEFAULT
from harness.errors import EXIT_EMPTY, UsageError
from harness.gates.result import EXIT_CODES, Verdict, worst
from harness.runtime.options import RuntimeOptions
from harness.verdict.model import ExperimentResult


@dataclass(slots=True)
class _Run:
    """The state of one (experiment, seed). `error`: why it gets no history."""

    experiment: ReadyExperiment
    plan: Plan
    directory: Path
    arms_left: int
    started_s: float | None = None
    error: Outcome | None = None
    result: ExperimentResult | None = None

    @property
    def cost(self) -> float:
        """Of one arm, roughly: how many clients arrive."""
        return sum(load.expected_clients for load in self.plan.experiment.load.values())


@dataclass(frozen=True, slots=True)
class _Arm:
    """The work of one arm, as it is sent to a worker."""

    experiment: ReadyExperiment | ExperimentTexts
    seed: int
    without: tuple[str, ...]
    directory: Path
    index: int
    runtime: RuntimeOptions
    budget_s: float | None
    suite_ends_s: float | None

    def __call__(self, emit: Handler) -> None:
        limit_s = None if self.suite_ends_s is None else self.suite_ends_s - time.perf_counter()
        if limit_s is not None and limit_s <= 0:
            raise BudgetExceeded("the suite exceeded its budget of real time before this arm began")
        experiment = (
            self.experiment.parse() if isinstance(self.experiment, ExperimentTexts) else self.experiment
        )
        plan = make_plan(experiment, self.seed, self.without, self.budget_s)
        record_arm(experiment, self.runtime, plan, self.directory, self.index, emit, limit_s)


@dataclass(frozen=True, slots=True)
class _Conclusion:
    """The work after the last arm of a run."""

    directory: Path
    finish: Finish | None

    def __call__(self, emit: Handler) -> ExperimentResult:
        return conclude(self.directory, self.finish)


class Schedule:
    """`add` runs, then `run` once. `interrupted`: whether a signal stopped it."""

    def __init__(
        self,
        dispatcher: EventDispatcher,
        finish: Finish | None,
        runtime: RuntimeOptions,
        suite_ends_s: float | None = None,
    ) -> None:
        """`suite_ends_s`: when the real time of the suite is over, by `time.perf_counter`."""
        self._suite_ends_s = suite_ends_s
        self._dispatcher = dispatcher
        self._runtime = runtime
        self._finish = finish
        self._runs: list[_Run] = []
        self.interrupted = False

    def add(self, experiment: ReadyExperiment, plan: Plan, directory: Path) -> None:
        self._runs.append(_Run(experiment, plan, directory, len(plan.arms)))

    def run(self, jobs: int) -> tuple[ExperimentResult, ...]:
        """Every run's result, in the order in which they were added."""
        executor: Executor
        if jobs == 1:
            executor = SerialExecutor(self._dispatcher, self._start)
            order: Sequence[int] = range(len(self._runs))
        else:
            executor = ProcessExecutor(jobs, self._dispatcher, self._start)
            # The longest first, so that none is left over at the end.
            order = sorted(range(len(self._runs)), key=lambda n: -self._runs[n].cost)
        interrupt: KeyboardInterrupt | None = None
        reasons: dict[int, str] = {}
        try:
            for number in order:
                self._submit(executor, number)
            for outcome in executor.outcomes():
                self._collect(executor, outcome)
        except KeyboardInterrupt as error:
            interrupt = error
        finally:
            reasons = executor.stop()
            for run in self._runs:
                discard(run.directory)
        if interrupt is not None:
            self._interrupt(str(interrupt), reasons)
        return tuple(run.result for run in self._runs if run.result is not None)

    def _submit(self, executor: Executor, number: int) -> None:
        run = self._runs[number]
        experiment = run.experiment if isinstance(executor, SerialExecutor) else run.experiment.texts()
        for index in range(len(run.plan.arms)):
            plan = run.plan
            work = _Arm(
                experiment=experiment,
                seed=plan.seed,
                without=plan.without,
                directory=run.directory,
                index=index,
                runtime=self._runtime,
                budget_s=plan.given_budget_s,
                suite_ends_s=self._suite_ends_s,
            )
            grace_s = SIM_GRACE_S if self._runtime.deterministic else LIVE_GRACE_S
            executor.submit(number, work, limit_s=plan.budget_s + (ATTEMPTS + 2) * grace_s)

    def _start(self, number: int) -> None:
        run = self._runs[number]
        if run.started_s is None:
            run.started_s = time.perf_counter()
            self._dispatcher(run_started(run.plan))

    def _collect(self, executor: Executor, outcome: Outcome) -> None:
        run = self._runs[outcome.key]
        if isinstance(outcome.value, ExperimentResult):
            self._conclude(run, outcome.value)
            return
        if outcome.error is not None and run.error is None:
            run.error = outcome
        run.arms_left -= 1
        if run.arms_left > 0:
            return
        if run.error is None:
            executor.submit(outcome.key, _Conclusion(run.directory, self._finish), first=True)
            return
        result = result_without_history(
            run.experiment, run.plan, run.directory, self._runtime, Verdict.ERROR, run.error.error or ""
        )
        self._conclude(run, replace(result, notes=tuple(run.error.detail.splitlines())))

    def _conclude(self, run: _Run, result: ExperimentResult) -> None:
        run.result = result
        started_s = run.started_s if run.started_s is not None else time.perf_counter()
        self._dispatcher(RunFinished(result, time.perf_counter() - started_s))

    def _interrupt(self, message: str, reasons: dict[int, str]) -> None:
        """Unfinished runs get a result, too: none is dropped."""
        self.interrupted = True
        for number, run in enumerate(self._runs):
            if run.result is not None:
                continue
            if run.started_s is None:
                reason = "interrupted before it began"
            else:
                reason = reasons.get(number) or message or "interrupted"
            result = result_without_history(
                run.experiment, run.plan, run.directory, self._runtime, Verdict.INTERRUPTED, reason
            )
            if run.started_s is None:
                run.result = result
            else:
                self._conclude(run, result)


def run(
    experiment: ReadyExperiment,
    *,
    seed: int = 1,
    runtime: RuntimeOptions = DEFAULT,
    without: Sequence[str] = (),
    reports: Path | str = "reports",
    handlers: Sequence[Handler] = (),
    budget_s: float | None = None,
) -> ExperimentResult:
    """Run one experiment with one seed and judge it. The result names the run directory, below `reports`.

    `budget_s`: the real time that each arm may take, instead of the experiment's `budget`.

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
        budget_s=budget_s,
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
    budget_s: float | None = None,
    suite_budget_s: float | None = None,
) -> SuiteFinished:
    """Run every experiment with every seed, up to `jobs` arms at a time.

    `budget_s`, `suite_budget_s`: the real time that each arm and the whole suite may take; what takes longer is ended,
    with the verdict `error`.

    Results are in the order of the experiments and seeds. A run that breaks gets the verdict `error`; the others go
    on. An interrupt ends everything, after faults are undone; unfinished runs get the verdict `interrupted`. What a
    handler raises is raised at the end. Raises UsageError before anything starts.
    """
    started_s = time.perf_counter()
    plans = _make_plans(experiments, seeds, without, runtime, jobs, budget_s)
    suite = new_suite_directory(reports)
    jobs = max(1, min(jobs, sum(len(plan.arms) for _, plan in plans)))
    dispatcher = EventDispatcher(handlers)
    dispatcher(SuiteStarted(tuple(one.name for one in experiments), tuple(seeds), jobs, str(suite)))
    ends_s = None if suite_budget_s is None else started_s + suite_budget_s
    schedule = Schedule(dispatcher, finish, runtime, ends_s)
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
    budget_s: float | None,
) -> list[tuple[ReadyExperiment, Plan]]:
    """A plan for every experiment and seed. Raises UsageError with every problem."""
    plans: list[tuple[ReadyExperiment, Plan]] = []
    problems: list[Diagnostic | str] = [] if seeds else ["no seed was given"]
    problems += runtime.problems(jobs)
    capabilities = runtime.capabilities()
    for experiment in experiments:
        try:
            plans += [(experiment, make_plan(experiment, seed, without, budget_s)) for seed in seeds]
        except UsageError as error:
            problems += error.diagnostics
        problems += unsupported(experiment, capabilities)
    if problems:
        raise UsageError(problems)
    return plans
