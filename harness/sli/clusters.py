"""Rows that are not independent: counts by cluster, the design effect, the effective sample size.

A client's rows share its network, its path and its fate, so clients are the sampling units, not rows. The share of bad
rows keeps its value; its bounds are those of the effective sample size: as many independent rows as carry the same
evidence (Korn and Graubard, Confidence intervals for proportions with small expected number of positive counts
estimated from survey data, Survey Methodology 24, 1998). Pure functions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.sli.statistics import CONFIDENCE, ratio_bounds

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows of one group, counted by cluster.

    `samples`, `bad`: all rows, and the bad ones. `clusters`: how many clusters have rows. `squares`, `bad_squares`,
    `products`: the sums over the clusters of n², b² and n b, where n are the rows and b the bad rows of a cluster.
    `confidence`: of each bound.
    """

    samples: int
    bad: int
    clusters: int
    squares: int
    bad_squares: int
    products: int
    confidence: float = CONFIDENCE

    def __add__(self, other: Counts) -> Counts:
        """Both together. Their clusters are distinct, as those of different runs are."""
        return Counts(
            self.samples + other.samples,
            self.bad + other.bad,
            self.clusters + other.clusters,
            self.squares + other.squares,
            self.bad_squares + other.bad_squares,
            self.products + other.products,
            max(self.confidence, other.confidence),
        )

    @property
    def good(self) -> int:
        return self.samples - self.bad

    @property
    def share(self) -> float:
        """Of good rows."""
        return self.good / self.samples

    @property
    def effective(self) -> float:
        """The effective sample size: at most the number of rows, and equal to it with one row a cluster."""
        from scipy.special import stdtrit

        if self.clusters == self.samples:
            return float(self.samples)
        if self.clusters < 2:
            return 0.0  # one cluster says nothing about how clusters differ
        # Few clusters tell the design effect badly: the quantile of t against that of as many rows.
        quantile = float(
            stdtrit(self.samples - 1, self.confidence) / stdtrit(self.clusters - 1, self.confidence)
        )
        return self.samples / self.design_effect * quantile**2

    @property
    def design_effect(self) -> float:
        """How much larger the variance of the share is than with independent rows; never below 1.

        The ratio estimator's variance between clusters (Kish, Survey Sampling, 1965, chapter 5), with two clusters more
        than were seen, one wholly good and one wholly bad, both of the mean size of the cluster that a row is in. So
        few bad rows cannot show that the rows of a cluster are independent: with none the effective size is that of
        wholly correlated clusters. Enough of them outweigh the two.
        """
        size = self.squares / self.samples
        samples, bad = self.samples + 2 * size, self.bad + size
        share = bad / samples
        seen = self.bad_squares - 2 * share * self.products + share**2 * self.squares
        between = seen + size**2 * ((1 - share) ** 2 + share**2)
        return max(1.0, between / (samples * share * (1 - share)))

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest plausible share of good rows, each with the confidence."""
        effective = self.effective
        return ratio_bounds(self.share * effective, effective, self.confidence)

    def holds(self, target: float) -> bool | None:
        """Whether the share of good rows is at least the target; None where the rows do not decide it."""
        low, high = self.bounds
        return True if low >= target else False if high < target else None

    def with_missing(self, clients: int) -> Counts:
        """The same with one bad row more of each of so many other clients."""
        return self + Counts(clients, clients, clients, clients, clients, clients)


def chance_of_difference(worse: Counts, better: Counts) -> float:
    """The probability that chance alone makes the share of bad rows differ so much, or more, in this direction.

    Fisher's exact test, one-sided (The design of experiments, 1935), on the effective counts. Those are rounded so that
    the difference becomes smaller.
    """
    import numpy as np
    from scipy.special import gammaln

    bad = math.floor((1 - worse.share) * worse.effective + 1e-9)
    other_bad = math.ceil((1 - better.share) * better.effective - 1e-9)
    size, other_size = math.floor(worse.effective), math.floor(better.effective)
    if not bad or not size or not other_size:
        return 1.0
    other_bad = min(other_bad, other_size)

    def ways(of: float, chosen: np.ndarray) -> np.ndarray:
        found: np.ndarray = gammaln(of + 1) - gammaln(chosen + 1) - gammaln(of - chosen + 1)
        return found

    total = bad + other_bad
    each = np.arange(bad, min(total, size) + 1, dtype=float)
    whole = ways(size + other_size, np.array([float(total)]))
    return min(1.0, float(np.exp(ways(size, each) + ways(other_size, total - each) - whole).sum()))
