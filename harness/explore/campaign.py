"""A search: trials in batches, over processes, until a budget ends; findings are shrunk and told apart.

The n-th trial depends on the seed and on n alone, so that findings do not depend on how many processes there are.
Single faults and random schedules alternate, until the single faults are used up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from harness.engine.events import EngineEvent, Handler
from harness.engine.executor import Executor, ProcessExecutor, SerialExecutor
from harness.experiment.order import FIFO
from harness.explore.finding import Finding
from harness.explore.schedule import Schedule
from harness.explore.shrink import Shrinker
from harness.explore.space import Space
from harness.explore.trial import Subject, Trial, Violation, run_trial
from harness.system.streams import stream

BATCH = 8
"""Trials of one piece of work."""

ATTEMPTS = 2
"""How often a batch is given to a process, where the first one dies of it."""

MAX_FOUND = 20
"""A search ends when it has so many different findings."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a search ends: whichever comes first. `schedules`: trials; `budget_s`: real time."""

    schedules: int | None = None
    budget_s: float | None = None
    findings: int = MAX_FOUND


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a search is. `shrinking`: whether it makes a finding smaller just now."""

    trials: int
    findings: int
    elapsed_s: float
    shrinking: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What a search has found. `broken`: why it ended before its time, which is no finding.

    `effective`: trials in which every fault affected traffic. `kinds`: how often each kind of fault was tried.
    `interrupted`: a signal ended it. `judged`: the properties that had something to be judged by.
    """

    seed: int
    trials: int
    elapsed_s: float
    findings: tuple[Finding, ...] = ()
    broken: str | None = None
    effective: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    first: int = 0
    interrupted: bool = False
    judged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """The work of one process: trials from `start` on. It can be pickled."""

    subject: Subject
    space: Space
    seed: int
    start: int
    count: int

    def __call__(self, _: Handler) -> list[Trial]:
        return [
            run_trial(
                replace(self.subject, order=order_of(self.space, number)),
                schedule_of(self.space, self.seed, number),
                self.seed + number,
            )
            for number in range(self.start, self.start + self.count)
        ]


def order_of(space: Space, number: int) -> str:
    """The order of ready tasks in one trial: of three trials one each has asyncio's own, a random one and PCT."""
    if not space.orders or number == 0:
        return FIFO
    kind = (FIFO, "random", "pct")[number // 2 % 3]
    return kind if kind == FIFO else f"{kind}:{number}"


def schedule_of(space: Space, seed: int, number: int) -> Schedule:
    """The schedule of one trial. Trial 0 has no fault: what fails then needs none."""
    if number == 0:
        return ()
    if space.exhaustive:
        return space.enumerated[(number - 1) % len(space.enumerated)]
    if number % 2 and number // 2 < len(space.singles) and not space.plain:
        return space.singles[number // 2]
    return space.draw(stream(seed, "fuzz", number))


def search(
    subject: Subject,
    space: Space,
    limits: Limits,
    *,
    seed: int = 1,
    jobs: int = 1,
    first: int = 0,
    report: Callable[[Progress], None] = lambda _: None,
) -> Result:
    """Try schedules until a limit is reached, and shrink what violates something. Raises InvalidSystem."""
    return _Search(subject, space, limits, seed, jobs, first, report).run()


class _Search:
    def __init__(
        self,
        subject: Subject,
        space: Space,
        limits: Limits,
        seed: int,
        jobs: int,
        first: int,
        report: Callable[[Progress], None],
    ) -> None:
        self._subject, self._space, self._limits = subject, space, limits
        self._seed, self._jobs, self._report = seed, jobs, report
        self._first = self._next = first
        self._begun_s = time.perf_counter()
        self._trials = self._effective = 0
        self._kinds: dict[str, int] = {}
        self._findings: dict[object, Finding] = {}
        self._broken: str | None = None
        self._interrupted = False
        self._judged: set[str] = set()
        self._batches: dict[int, tuple[Batch, int]] = {}

    @property
    def _elapsed_s(self) -> float:
        return time.perf_counter() - self._begun_s

    def run(self) -> Result:
        executor = self._executor()
        try:
            self._try_all(executor)
        except KeyboardInterrupt:
            self._interrupted = True
        finally:
            executor.stop()
        return Result(
            self._seed,
            self._trials,
            self._elapsed_s,
            tuple(self._findings.values()),
            self._broken,
            self._effective,
            dict(sorted(self._kinds.items())),
            self._first,
            self._interrupted,
            tuple(sorted(self._judged)),
        )

    def _try_all(self, executor: Executor) -> None:
        waiting: dict[int, list[Trial]] = {}
        due = self._first
        for _ in range(2 * self._jobs):
            self._submit(executor)
        for outcome in executor.outcomes():
            batch, attempts = self._batches.pop(outcome.key)
            if outcome.error is not None and attempts < ATTEMPTS:
                self._batches[outcome.key] = (batch, attempts + 1)
                executor.submit(outcome.key, batch, first=True)
                continue
            if outcome.error is not None:
                self._broken = self._broken or f"{outcome.error}{outcome.detail}"
                break
            waiting[outcome.key] = outcome.value
            # In the order of the trials, whichever process was first.
            while due in waiting and not self._over:
                trials = waiting.pop(due)
                due += len(trials)
                for number, trial in enumerate(trials, due - len(trials)):
                    self._take(number, trial)
            if self._over:
                break
            self._submit(executor)

    def _executor(self) -> Executor:
        def ignore(_: EngineEvent) -> None: ...
        def begin(_: int) -> None: ...

        return (
            SerialExecutor(ignore, begin) if self._jobs == 1 else ProcessExecutor(self._jobs, ignore, begin)
        )

    @property
    def _over(self) -> bool:
        limits = self._limits
        return (
            self._broken is not None
            or len(self._findings) >= limits.findings
            or (limits.budget_s is not None and self._elapsed_s >= limits.budget_s)
            or any(not finding.shrunk.schedule for finding in self._findings.values())
        )

    def _submit(self, executor: Executor) -> None:
        # The first trial is by itself: a system that fails without a fault needs no search.
        count = 1 if self._next == 0 else BATCH
        if self._limits.schedules is not None:
            count = min(count, self._first + self._limits.schedules - self._next)
        if count > 0:
            batch = Batch(self._subject, self._space, self._seed, self._next, count)
            self._batches[self._next] = (batch, 1)
            executor.submit(self._next, batch)
            self._next += count

    def _take(self, number: int, trial: Trial) -> None:
        if self._over:
            return
        self._trials += 1
        self._effective += all(trial.affected)
        self._judged.update(trial.judged)
        for fault in trial.schedule:
            self._kinds[fault.fault] = self._kinds.get(fault.fault, 0) + 1
        if trial.broken is not None:
            self._broken = f"trial {number} (seed {trial.seed}): {trial.broken}"
        for violation in trial.violations:
            self._shrink(number, trial, violation)
        self._report(Progress(self._trials, len(self._findings), self._elapsed_s))

    def _shrink(self, number: int, trial: Trial, violation: Violation) -> None:
        known = [one for one in self._findings.values() if _explains(one, trial, violation)]
        if known:
            self._findings[known[0].key] = replace(known[0], found=known[0].found + 1)
            return
        self._report(Progress(self._trials, len(self._findings), self._elapsed_s, shrinking=True))
        run = partial(_try, seed=trial.seed)
        subject = replace(self._subject, order=trial.order)
        shrunk = Shrinker(self._space, violation, run).shrink(subject, trial.schedule)
        finding = Finding(trial.seed, number, trial.schedule, shrunk)
        before = self._findings.get(finding.key)
        self._findings[finding.key] = finding if before is None else replace(before, found=before.found + 1)


def _try(subject: Subject, schedule: Schedule, *, seed: int) -> Trial:
    return run_trial(subject, schedule, seed)


def _explains(finding: Finding, trial: Trial, violation: Violation) -> bool:
    """Whether a finding is the likely cause of a violation: the same property, and all its faults at those places."""
    if (finding.violation.kind, finding.violation.key) != (violation.kind, violation.key):
        return False
    there = {(fault.fault, fault.place) for fault in trial.schedule}
    return {(fault.fault, fault.place) for fault in finding.shrunk.schedule} <= there


def calibrate(subject: Subject, seed: int) -> Trial:
    """The load without a fault: whether all is well then, and which roles talk to which."""
    return run_trial(subject, (), seed)
