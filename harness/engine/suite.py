"""Many (experiment, seed) pairs, in this process or in several; the results do not depend on which."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.diagnostics import Code, Diagnostic
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
from harness.engine.judge import judge_pool
from harness.engine.plan import Plan, make_plan
from harness.engine.read import ExperimentTexts, ReadyExperiment, unsupported
from harness.engine.rundir import new_suite_directory, run_directory
from harness.engine.runtimes import DEFAULT
from harness.errors import EXIT_EMPTY, UsageError
from harness.experiment.order import FIFO
from harness.gates.result import EXIT_CODES, Verdict, worst
from harness.runtime.options import RuntimeOptions
from harness.sli.statistics import CONFIDENCE
from harness.verdict.model import ExperimentResult, PooledResult
from harness.verdict.pool import counted_results, is_decided, look_sizes, unjudged_pool


@dataclass(slots=True, eq=False)
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


@dataclass(frozen=True, slots=True)
class Pooling:
    """How the seeds of an experiment are judged together. `confidence`: of each claim.

    `until_decided`: seeds are added, as many as `look_sizes` says, until each gate is decided or none is left.
    """

    confidence: float = CONFIDENCE
    until_decided: bool = False

    def looks(self, seeds: int) -> tuple[int, ...]:
        """After how many seeds the pool is judged."""
        return look_sizes(seeds) if self.until_decided else (seeds,)


@dataclass(slots=True)
class _Pool:
    """The state of one experiment with several seeds. `looks`: after how many runs it is judged."""

    runs: list[_Run]
    looks: tuple[int, ...]
    pooling: Pooling
    submitted: int = 0
    result: PooledResult | None = None

    @property
    def results(self) -> list[ExperimentResult]:
        return [run.result for run in self.runs[: self.submitted] if run.result is not None]


@dataclass(frozen=True, slots=True)
class _PoolJudgement:
    """The work of one look at a pool."""

    results: tuple[ExperimentResult, ...]
    confidence: float
    looks: int

    def __call__(self, emit: Handler) -> PooledResult:
        return judge_pool(self.results, confidence=self.confidence, looks=self.looks)


class Schedule:
    """`add` experiments, then `run` once. `interrupted`: whether a signal stopped it."""

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
        self._pools: list[_Pool] = []
        self.interrupted = False

    def add(
        self, experiment: ReadyExperiment, plans: Sequence[tuple[Plan, Path]], pooling: Pooling = Pooling()
    ) -> None:
        """The runs of one experiment: for each seed its plan and its directory."""
        runs = [_Run(experiment, plan, directory, len(plan.arms)) for plan, directory in plans]
        self._runs += runs
        self._pools.append(_Pool(runs, pooling.looks(len(runs)), pooling))

    @property
    def pooled(self) -> tuple[PooledResult, ...]:
        """The pooled result of each experiment with several seeds."""
        return tuple(pool.result for pool in self._pools if pool.result is not None)

    def run(self, jobs: int) -> tuple[ExperimentResult, ...]:
        """Every run's result, in the order in which they were added."""
        executor: Executor
        first = [run for pool in self._pools for run in self._next_runs(pool)]
        if jobs == 1:
            executor = SerialExecutor(self._dispatcher, self._start)
        else:
            executor = ProcessExecutor(jobs, self._dispatcher, self._start)
            # The longest first, so that none is left over at the end.
            first.sort(key=lambda run: -run.cost)
        interrupt: KeyboardInterrupt | None = None
        reasons: dict[int, str] = {}
        try:
            for run in first:
                self._submit(executor, run)
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

    def _next_runs(self, pool: _Pool) -> list[_Run]:
        """Those that are needed for the next look."""
        size = next((size for size in pool.looks if size > pool.submitted), pool.submitted)
        runs = pool.runs[pool.submitted : size]
        pool.submitted = size
        return runs

    def _submit(self, executor: Executor, run: _Run) -> None:
        number = self._runs.index(run)
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
        if number >= len(self._runs):
            return  # a look at a pool
        run = self._runs[number]
        if run.started_s is None:
            run.started_s = time.perf_counter()
            self._dispatcher(run_started(run.plan))

    def _collect(self, executor: Executor, outcome: Outcome) -> None:
        if outcome.key >= len(self._runs):
            self._collect_pool(executor, self._pools[outcome.key - len(self._runs)], outcome)
            return
        run = self._runs[outcome.key]
        if isinstance(outcome.value, ExperimentResult):
            self._conclude(run, outcome.value)
            self._look(executor, run)
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
        self._look(executor, run)

    def _look(self, executor: Executor, run: _Run) -> None:
        """Judge the pool of a run that has ended, where it was the last one that this takes."""
        number, pool = next((n, pool) for n, pool in enumerate(self._pools) if run in pool.runs)
        results = pool.results
        if len(results) < pool.submitted or len(pool.runs) < 2:
            return
        work = _PoolJudgement(tuple(results), pool.pooling.confidence, len(pool.looks))
        executor.submit(len(self._runs) + number, work, first=True)

    def _collect_pool(self, executor: Executor, pool: _Pool, outcome: Outcome) -> None:
        if isinstance(outcome.value, PooledResult):
            pool.result = outcome.value
        else:
            pool.result = replace(
                unjudged_pool(pool.results, pool.pooling.confidence, len(pool.looks)),
                reason=outcome.error or "",
                notes=tuple(outcome.detail.splitlines()),
            )
        if not is_decided(pool.result):
            for run in self._next_runs(pool):
                self._submit(executor, run)

    def _conclude(self, run: _Run, result: ExperimentResult) -> None:
        run.result = result
        started_s = run.started_s if run.started_s is not None else time.perf_counter()
        self._dispatcher(RunFinished(result, time.perf_counter() - started_s))

    def _interrupt(self, message: str, reasons: dict[int, str]) -> None:
        """Unfinished runs get a result, too: none is dropped."""
        self.interrupted = True
        needed = [run for pool in self._pools for run in pool.runs[: pool.submitted]]
        for number, run in enumerate(self._runs):
            if run.result is not None or run not in needed:
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
    seed: int | None = None,
    runtime: RuntimeOptions = DEFAULT,
    without: Sequence[str] = (),
    reports: Path | str = "reports",
    handlers: Sequence[Handler] = (),
    budget_s: float | None = None,
) -> ExperimentResult:
    """Run one experiment with one seed and judge it. The result names the run directory, below `reports`.

    `seed`: the experiment's own where it is not given, or 1.

    `budget_s`: the real time that each arm may take, instead of the experiment's `budget`.

    `without`: safeguards that are switched off. `handlers`: called with every event. Raises UsageError where the
    experiment cannot run like that, before anything starts.
    """
    finished = run_suite(
        [experiment],
        seeds=None if seed is None else [seed],
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
    seeds: Sequence[int] | None,
    jobs: int,
    without: Sequence[str] = (),
    reports: Path,
    handlers: Sequence[Handler] = (),
    finish: Finish | None = None,
    runtime: RuntimeOptions = DEFAULT,
    budget_s: float | None = None,
    suite_budget_s: float | None = None,
    pooling: Pooling = Pooling(),
) -> SuiteFinished:
    """Run every experiment with every seed, up to `jobs` arms at a time. `seeds` None: each with its own, or 1.

    With several seeds each experiment is judged over all of them, too (`pooling`).

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
    names = tuple(one.name for one in experiments)
    used = tuple(dict.fromkeys(plan.seed for _, plan in plans) if seeds is None else seeds)
    dispatcher(SuiteStarted(names, used, jobs, str(suite), pooling.until_decided))
    ends_s = None if suite_budget_s is None else started_s + suite_budget_s
    schedule = Schedule(dispatcher, finish, runtime, ends_s)
    each = 1 if seeds is None else len(seeds)
    for number, experiment in enumerate(experiments):
        own = [plan for _, plan in plans[number * each : (number + 1) * each]]
        schedule.add(
            experiment, [(plan, run_directory(suite, plan.name, plan.seed)) for plan in own], pooling
        )
    results = schedule.run(jobs)
    pooled = schedule.pooled
    verdict = (
        Verdict.INTERRUPTED
        if schedule.interrupted
        else worst(one.verdict for one in counted_results(results, pooled))
    )
    exit_code = EXIT_CODES[verdict] if results else EXIT_EMPTY
    finished = SuiteFinished(results, verdict, exit_code, time.perf_counter() - started_s, str(suite), pooled)
    dispatcher(finished)
    dispatcher.close()
    return finished


def _make_plans(
    experiments: Sequence[ReadyExperiment],
    seeds: Sequence[int] | None,
    without: Sequence[str],
    runtime: RuntimeOptions,
    jobs: int,
    budget_s: float | None,
) -> list[tuple[ReadyExperiment, Plan]]:
    """A plan for every experiment and seed. Raises UsageError with every problem."""
    plans: list[tuple[ReadyExperiment, Plan]] = []
    problems: list[Diagnostic | str] = [] if seeds is None or seeds else ["no seed was given"]
    problems += runtime.problems(jobs)
    capabilities = runtime.capabilities()
    for experiment in experiments:
        try:
            plans += [
                (experiment, make_plan(experiment, seed, without, budget_s))
                for seed in ((experiment.seed,) if seeds is None else seeds)
            ]
        except UsageError as error:
            problems += error.diagnostics
        problems += unsupported(experiment, capabilities)
        if experiment.experiment.order != FIFO and not runtime.deterministic:
            found = f"order: {experiment.experiment.order} needs virtual time"
            problems.append(Diagnostic(Code.UNSUPPORTED, found, file=experiment.display_path))
    if problems:
        raise UsageError(problems)
    return plans
