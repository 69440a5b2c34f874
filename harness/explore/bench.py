"""How many schedules of a search show a defect: for each safeguard that is switched off, and for each way to search.

The rate is that of trials that violate anything, of all trials, with its exact 95 % interval (Clopper-Pearson): it says
how long a search must be to find the defect. The ways see the same number of schedules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.engine.executor import ProcessExecutor, SerialExecutor
from harness.explore.campaign import Batch
from harness.explore.space import Space
from harness.explore.start import Wishes, begin
from harness.explore.trial import Trial
from harness.sli.statistics import ratio_bounds

WAYS: dict[str, Callable[[Space], Space]] = {
    "search": lambda space: space,
    "random": lambda space: replace(space, orders=False, plain=True),
}
"""By name: all that `harness fuzz` does (single faults first, swarm, orders of tasks, events), and plain random."""

BATCH = 10


@dataclass(frozen=True, slots=True)
class Detection:
    """`without`: the safeguard that is off; None: all are on, and what is found then is a defect of its own.

    `shown`: trials that violate anything, of `trials`. `first`: the number of the first one. `broken`: why one says
    nothing.
    """

    way: str
    without: str | None
    trials: int
    shown: int
    first: int | None
    properties: tuple[str, ...] = ()
    broken: str | None = None

    @property
    def per_1000(self) -> float:
        return 1000 * self.shown / self.trials

    @property
    def interval(self) -> tuple[float, float]:
        """Of `per_1000`, 95 %."""
        low, high = ratio_bounds(self.shown, self.trials, 0.975)
        return 1000 * low, 1000 * high


def measure(
    wishes: Wishes, safeguards: Sequence[str | None], *, schedules: int, seed: int = 1, jobs: int = 1
) -> Iterator[Detection]:
    """A detection for each safeguard and each way. Raises InvalidSystem, UsageError."""
    for without in safeguards:
        subject, space, _ = begin(replace(wishes, without=() if without is None else (without,)), seed)
        for way, change in WAYS.items():
            firsts = range(1, schedules + 1, BATCH)
            batches = [
                Batch(subject, change(space), seed, first, min(BATCH, schedules + 1 - first))
                for first in firsts
            ]
            yield _detection(way, without, _run(batches, jobs))


def _run(batches: Sequence[Batch], jobs: int) -> list[tuple[int, Trial]]:
    executor = SerialExecutor(_ignore, _ignore) if jobs == 1 else ProcessExecutor(jobs, _ignore, _ignore)
    for index, batch in enumerate(batches):
        executor.submit(index, batch)
    found: list[tuple[int, Trial]] = []
    try:
        for outcome in executor.outcomes():
            batch = batches[outcome.key]
            trials = outcome.value or [Trial((), seed=0, broken=outcome.error) for _ in range(batch.count)]
            found += enumerate(trials, batch.start)
    finally:
        executor.stop()
    return sorted(found, key=lambda one: one[0])


def _detection(way: str, without: str | None, trials: Sequence[tuple[int, Trial]]) -> Detection:
    shown = [(number, trial) for number, trial in trials if trial.violations]
    names = {violation.name for _, trial in shown for violation in trial.violations}
    return Detection(
        way,
        without,
        len(trials),
        len(shown),
        shown[0][0] if shown else None,
        tuple(sorted(names)),
        next((trial.broken for _, trial in trials if trial.broken is not None), None),
    )


def describe(one: Detection) -> str:
    """One line."""
    low, high = one.interval
    first = "not found" if one.first is None else f"first in schedule {one.first}"
    rest = f"; {', '.join(one.properties)}" if one.properties else ""
    broken = f"; ERROR: {one.broken}" if one.broken is not None else ""
    name = one.without or "(all safeguards on)"
    return (
        f"{name:<28} {one.way:<7} {one.per_1000:6.1f} per 1,000 ({low:.1f} to {high:.1f}), "
        f"{first} of {one.trials}{rest}{broken}"
    )


def document(found: Sequence[Detection]) -> list[dict[str, Any]]:
    """For `--json`."""
    return [
        {
            "without": one.without,
            "way": one.way,
            "trials": one.trials,
            "shown": one.shown,
            "per_1000": round(one.per_1000, 3),
            "interval": [round(bound, 3) for bound in one.interval],
            "first": one.first,
            "properties": list(one.properties),
            "broken": one.broken,
        }
        for one in found
    ]


def _ignore(_: Any) -> None: ...
