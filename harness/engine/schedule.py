"""What is done when, and by whom: arms in any order, each run concluded when its last arm is there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.engine.events import EventDispatcher, RunFinished
from harness.engine.executor import Done, Emit, Executor, ProcessExecutor, SerialExecutor
from harness.engine.experiment import Finish, broken, conclude, discard, record_arm, run_started
from harness.engine.load import Loaded, Packed
from harness.engine.plan import Plan, plan
from harness.gates.result import Verdict
from harness.runtime.options import RuntimeOptions
from harness.verdict.model import ExperimentResult


@dataclass(slots=True)
class _Run:
    """One (experiment, seed) on its way. `error`: why it will come to no history."""

    loaded: Loaded
    plan: Plan
    directory: Path
    arms_left: int
    began_s: float | None = None
    error: Done | None = None
    result: ExperimentResult | None = None

    @property
    def cost(self) -> float:
        """Of one arm, roughly: how many clients come."""
        return sum(load.arrive * load.for_ for load in self.plan.experiment.load.values())


@dataclass(frozen=True, slots=True)
class _Arm:
    """The work of one arm, as a worker gets it."""

    loaded: Loaded | Packed
    seed: int
    without: tuple[str, ...]
    directory: Path
    index: int
    runtime: RuntimeOptions

    def __call__(self, emit: Emit) -> None:
        loaded = self.loaded.unpacked() if isinstance(self.loaded, Packed) else self.loaded
        planned = plan(loaded, self.seed, self.without)
        record_arm(loaded, self.runtime, planned, self.directory, self.index, emit)


@dataclass(frozen=True, slots=True)
class _Conclusion:
    """The work that is left when all arms of a run are there."""

    directory: Path
    finish: Finish | None

    def __call__(self, emit: Emit) -> ExperimentResult:
        return conclude(self.directory, self.finish)


class Schedule:
    """`add` runs, then `run` once. `interrupted`: whether somebody stopped it."""

    def __init__(self, audience: EventDispatcher, finish: Finish | None, runtime: RuntimeOptions) -> None:
        self._audience = audience
        self._runtime = runtime
        self._finish = finish
        self._runs: list[_Run] = []
        self.interrupted = False

    def add(self, loaded: Loaded, planned: Plan, directory: Path) -> None:
        self._runs.append(_Run(loaded, planned, directory, len(planned.arms)))

    def run(self, jobs: int) -> tuple[ExperimentResult, ...]:
        """Every run's result, in the order in which they were added."""
        executor: Executor
        if jobs == 1:
            executor = SerialExecutor(self._audience, self._begin)
            order: Sequence[int] = range(len(self._runs))
        else:
            executor = ProcessExecutor(jobs, self._audience, self._begin)
            # The longest first, so that none is left over at the end.
            order = sorted(range(len(self._runs)), key=lambda n: -self._runs[n].cost)
        interrupt: KeyboardInterrupt | None = None
        said: dict[int, str] = {}
        try:
            for number in order:
                self._submit(executor, number)
            for done in executor.outcomes():
                self._take(executor, done)
        except KeyboardInterrupt as error:
            interrupt = error
        finally:
            said = executor.stop()
            for run in self._runs:
                discard(run.directory)
        if interrupt is not None:
            self._interrupt(str(interrupt), said)
        return tuple(run.result for run in self._runs if run.result is not None)

    def _submit(self, executor: Executor, number: int) -> None:
        run = self._runs[number]
        loaded = run.loaded if isinstance(executor, SerialExecutor) else run.loaded.packed()
        for index in range(len(run.plan.arms)):
            work = _Arm(loaded, run.plan.seed, run.plan.without, run.directory, index, self._runtime)
            executor.submit(number, work)

    def _begin(self, number: int) -> None:
        run = self._runs[number]
        if run.began_s is None:
            run.began_s = time.perf_counter()
            self._audience(run_started(run.plan))

    def _take(self, executor: Executor, done: Done) -> None:
        run = self._runs[done.key]
        if isinstance(done.value, ExperimentResult):
            self._conclude(run, done.value)
            return
        if done.error is not None and run.error is None:
            run.error = done
        run.arms_left -= 1
        if run.arms_left > 0:
            return
        if run.error is None:
            executor.submit(done.key, _Conclusion(run.directory, self._finish), first=True)
            return
        result = broken(
            run.loaded, run.plan, run.directory, self._runtime, Verdict.ERROR, run.error.error or ""
        )
        self._conclude(run, replace(result, notes=tuple(run.error.detail.splitlines())))

    def _conclude(self, run: _Run, result: ExperimentResult) -> None:
        run.result = result
        began_s = run.began_s if run.began_s is not None else time.perf_counter()
        self._audience(RunFinished(result, time.perf_counter() - began_s))

    def _interrupt(self, words: str, said: dict[int, str]) -> None:
        """What was not finished is said to be so; never dropped."""
        self.interrupted = True
        for number, run in enumerate(self._runs):
            if run.result is not None:
                continue
            if run.began_s is None:
                reason = "interrupted before it began"
            else:
                reason = said.get(number) or words or "interrupted"
            result = broken(run.loaded, run.plan, run.directory, self._runtime, Verdict.INTERRUPTED, reason)
            if run.began_s is None:
                run.result = result
            else:
                self._conclude(run, result)
