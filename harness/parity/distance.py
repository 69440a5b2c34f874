"""How far apart two samples of one quantity are. Pure."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_ROWS = 20
"""A distribution of fewer rows, in either world, is not compared."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A column's values in one world: how many, median, 90th percentile, in the column's unit."""

    rows: int
    p50: float
    p90: float


@dataclass(frozen=True, slots=True)
class Distribution:
    """One column of seconds in both worlds.

    `distance`: Kolmogorov-Smirnov, the largest difference of the two shares of rows below any value: 0 is the same
    distribution, 1 no overlap. `shift_s`: Wasserstein-1, how far a row has to be moved on average to make one
    distribution into the other.
    """

    table: str
    column: str
    sim: Sample
    live: Sample
    distance: float
    shift_s: float


def distribution(table: str, column: str, sim: Sequence[float], live: Sequence[float]) -> Distribution | None:
    """Of sorted values; None when there are too few to say anything."""
    if min(len(sim), len(live)) < LEAST_ROWS:
        return None
    return Distribution(
        table, column, _sample(sim), _sample(live), ks_distance(sim, live), wasserstein(sim, live)
    )


def _sample(values: Sequence[float]) -> Sample:
    return Sample(len(values), _quantile(values, 0.5), _quantile(values, 0.9))


def _quantile(values: Sequence[float], share: float) -> float:
    """Of sorted values, linear between neighbours."""
    at = share * (len(values) - 1)
    low = int(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (at - low)


def ks_distance(a: Sequence[float], b: Sequence[float]) -> float:
    """Kolmogorov-Smirnov distance of two sorted samples: sup |F_a - F_b|."""
    return max(
        abs(bisect.bisect_right(a, value) / len(a) - bisect.bisect_right(b, value) / len(b))
        for value in (*a, *b)
    )


def wasserstein(a: Sequence[float], b: Sequence[float]) -> float:
    """Wasserstein-1 distance of two sorted samples: the integral of |F_a - F_b|, in their unit."""
    points = sorted((*a, *b))
    return sum(
        (right - left) * abs(bisect.bisect_right(a, left) / len(a) - bisect.bisect_right(b, left) / len(b))
        for left, right in itertools.pairwise(points)
    )
