"""How far apart two samples of one quantity are. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
