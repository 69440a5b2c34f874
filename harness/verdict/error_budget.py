"""The error budget of each SLO over many runs: how much may be bad, how much was, how much is left.

A target of 99.9 % allows one of a thousand rows to be bad, a p95 one of twenty to be beyond its threshold (Beyer et
al., Site Reliability Engineering, 2016, chapter 3). Rows of the main runs count, those under the faults too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from harness.gates.base import Gate
from harness.sli.base import Slo
from harness.sli.percentile import PercentileSlo
from harness.sli.query import EVERYTHING
from harness.verdict.recorded import RecordedRun


@dataclass(frozen=True, slots=True)
class Spent:
    """Rows of an SLO. `allowed`: how many may be bad. `bad`: how many are; unknown ones are.

    `missing`: clients that may have had one row more. They count as bad ones.
    """

    runs: int = 0
    samples: int = 0
    allowed: float = 0.0
    bad: int = 0
    missing: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.runs + other.runs,
            self.samples + other.samples,
            self.allowed + other.allowed,
            self.bad + other.bad,
            self.missing + other.missing,
        )

    @property
    def used(self) -> int:
        return self.bad + self.missing

    @property
    def left(self) -> float:
        """Negative: the budget is exceeded."""
        return self.allowed - self.used

    @property
    def share_used(self) -> float | None:
        """Of what is allowed; None where nothing is."""
        return self.used / self.allowed if self.allowed else None


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """Of one SLO. `experiments`: the share of each, by its name."""

    slo: str
    total: Spent
    experiments: dict[str, Spent]


def budget_of_run(run: RecordedRun) -> dict[str, Spent]:
    """What a run spent of each SLO that its gates are about. Raises HistoryError."""
    gates: tuple[Gate, ...] = run.experiment.gates
    names = dict.fromkeys(gate.slo_name for gate in gates if gate.slo_name in run.slos)
    return {name: _spent(run, run.slos[name]) for name in names if name is not None}


def error_budgets(runs: Iterable[tuple[str, dict[str, Spent]]]) -> list[ErrorBudget]:
    """By the name of the SLO. `runs`: the name of the experiment, and what the run spent."""
    found: dict[str, dict[str, Spent]] = {}
    for experiment, spent in runs:
        for slo, one in spent.items():
            experiments = found.setdefault(slo, {})
            experiments[experiment] = experiments.get(experiment, Spent()) + one
    return [
        ErrorBudget(slo, sum(experiments.values(), Spent()), dict(sorted(experiments.items())))
        for slo, experiments in sorted(found.items())
    ]


def _spent(run: RecordedRun, slo: Slo) -> Spent:
    threshold = slo.threshold({})
    rows = [*slo.count(run.main, None, EVERYTHING, threshold)]
    share = 1 - (slo.percentile / 100 if isinstance(slo, PercentileSlo) else threshold.value)
    samples, missing = sum(one.counts.samples for one in rows), sum(one.missing for one in rows)
    return Spent(1, samples, (samples + missing) * share, sum(one.counts.bad for one in rows), missing)
