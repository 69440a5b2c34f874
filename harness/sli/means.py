"""Bounds of a mean from values in clusters, such as the requests of each client. Pure functions.

The values of one client are not independent of each other; clients are. The variance is that of a ratio estimator in
cluster sampling (Cochran, Sampling techniques, 3rd ed., 1977, chapter 9A), the bounds are those of Student's t
distribution with one degree of freedom less than there are clusters. They are approximate: of very skewed values
they need many clusters.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from harness.sli.statistics import CONFIDENCE

MIN_CLUSTERS = 30
"""Fewer clusters bound no mean."""


@dataclass(frozen=True, slots=True)
class Mean:
    """`interval`: two one-sided bounds, each with the confidence; None with fewer than `MIN_CLUSTERS` clusters."""

    value: float
    interval: tuple[float, float] | None
    clusters: int


def mean_bounds(
    values: Sequence[float], clusters: Sequence[Hashable], confidence: float = CONFIDENCE
) -> Mean:
    """The mean of finite values; `clusters` says to which cluster each belongs. There is at least one value."""
    from scipy.special import stdtrit

    mean = math.fsum(values) / len(values)
    residuals: dict[Hashable, float] = defaultdict(float)
    for value, cluster in zip(values, clusters, strict=True):
        residuals[cluster] += value - mean
    count = len(residuals)
    if count < MIN_CLUSTERS:
        return Mean(mean, None, count)
    squares = math.fsum(residual**2 for residual in residuals.values())
    error = math.sqrt(count / (count - 1) * squares) / len(values)
    margin = float(stdtrit(count - 1, confidence)) * error
    return Mean(mean, (mean - margin, mean + margin), count)
