"""The results of a comparison of virtual time and live: of one figure, of an experiment, of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.gates.result import EXIT_CODES, Verdict, worst
from harness.sli.formatting import quantity
from harness.verdict.model import ExperimentResult

MIN_ROWS = 20
"""A distribution of fewer rows, in either runtime, is not compared."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A column's values in one runtime: how many, median, 90th percentile, in the column's unit."""

    rows: int
    p50: float
    p90: float


@dataclass(frozen=True, slots=True)
class Distribution:
    """One column of seconds in both runtimes.

    `distance`: Kolmogorov-Smirnov, the largest difference between the two empirical distribution functions: 0 for the
    same distribution, 1 without overlap. `shift_s`: Wasserstein-1, the mean distance that a row must move to turn one
    distribution into the other.
    """

    table: str
    column: str
    sim: Sample
    live: Sample
    distance: float
    shift_s: float


def compare_samples(
    table: str, column: str, sim: Sequence[float], live: Sequence[float]
) -> Distribution | None:
    """The two samples of a column compared; None when one has fewer than `MIN_ROWS` values."""
    if min(len(sim), len(live)) < MIN_ROWS:
        return None
    from scipy.stats import ks_2samp, wasserstein_distance

    # Only the statistic is used; the exact p-value would take seconds.
    distance = float(ks_2samp(sim, live, method="asymp").statistic)
    shift_s = float(wasserstein_distance(sim, live))
    return Distribution(table, column, _summary(sim), _summary(live), distance, shift_s)


def _summary(values: Sequence[float]) -> Sample:
    """Quantiles are linear between neighbours."""
    import numpy as np

    p50, p90 = np.quantile(values, (0.5, 0.9))
    return Sample(len(values), float(p50), float(p90))


class Outcome(StrEnum):
    WITHIN = "within"
    OUTSIDE = "outside"
    NOT_COMPARED = "nothing to compare"


@dataclass(frozen=True, slots=True)
class Threshold:
    """The largest difference that passes: a share of the value in virtual time (`relative`), or in its unit.

    `floor`: a difference in the value's unit that always passes.
    """

    within: float
    relative: bool
    floor: float = 0.0

    def accepts(self, sim: float, live: float) -> bool:
        # With room for the rounding of floating point at the very edge.
        largest = self.within * abs(sim) if self.relative else self.within
        return abs(live - sim) <= max(largest, self.floor) + 1e-12

    def text(self, unit: str) -> str:
        """`15%`, `2 points`, `10 ms`."""
        if self.relative:
            return f"{self.within * 100:g}%"
        return f"{self.within * 100:g} points" if unit == "ratio" else quantity(self.within, unit)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure, or one verdict, in both runtimes. Values are in `unit`; None where there is none.

    `threshold` None: only the verdicts are compared. `rows`: what the values are made of, in virtual time and live.
    `verdicts`: in virtual time and live, where there are any.
    """

    name: str
    outcome: Outcome
    unit: str = ""
    sim: float | None = None
    live: float | None = None
    threshold: Threshold | None = None
    rows: tuple[int, int] = (0, 0)
    verdicts: tuple[str, str] | None = None

    @property
    def difference(self) -> str:
        """Live against virtual time: `+3%`, `-1.2 points`; `-` where there is no number."""
        if self.sim is None or self.live is None:
            return "-"
        if self.unit == "ratio":
            return f"{(self.live - self.sim) * 100:+.1f} points"
        if self.sim == self.live:
            return "+0%"
        return "-" if not self.sim else f"{(self.live - self.sim) / self.sim:+.0%}"


@dataclass(frozen=True, slots=True)
class ExperimentParity:
    """One experiment in both runtimes. `errors`: what could not be computed."""

    sim: ExperimentResult
    live: ExperimentResult
    comparisons: tuple[Comparison, ...]
    distributions: tuple[Distribution, ...] = ()
    errors: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.sim.name} seed {self.sim.seed}"

    @property
    def agree(self) -> bool:
        """The same verdict, of the experiment and of every gate and arm."""
        return all(
            one.outcome is not Outcome.OUTSIDE for one in self.comparisons if one.threshold is None
        ) and all(one.verdicts is None or one.verdicts[0] == one.verdicts[1] for one in self.comparisons)

    @property
    def outside(self) -> tuple[Comparison, ...]:
        return tuple(one for one in self.comparisons if one.outcome is Outcome.OUTSIDE)

    @property
    def compared(self) -> bool:
        """Whether any figure could be compared at all."""
        return any(
            one.threshold is not None and one.outcome is not Outcome.NOT_COMPARED for one in self.comparisons
        )

    @property
    def verdict(self) -> Verdict:
        """passed: everything within its threshold; failed: something outside; inconclusive: no figure to compare;
        error, interrupted: as the runs."""
        verdicts = (self.sim.verdict, self.live.verdict)
        if Verdict.INTERRUPTED in verdicts:
            return Verdict.INTERRUPTED
        if Verdict.ERROR in verdicts or self.errors:
            return Verdict.ERROR
        if self.outside:
            return Verdict.FAILED
        return Verdict.PASSED if self.compared else Verdict.INCONCLUSIVE


@dataclass(frozen=True, slots=True)
class ParityResult:
    """`directory`: of the runs of both halves and of the report. Without experiments it was interrupted early.

    `left_out`: experiments that virtual time cannot run, and why.
    """

    directory: Path
    experiments: tuple[ExperimentParity, ...]
    interrupted: bool = False
    left_out: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        if self.interrupted:
            return Verdict.INTERRUPTED
        return worst(one.verdict for one in self.experiments)

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]
