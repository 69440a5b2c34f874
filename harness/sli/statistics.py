"""Confidence bounds from a finite number of samples. Pure functions.

Every bound is one-sided at 95 %: a claim ("at least", "at most") is made only when its own bound allows it,
so a wrong claim is made in at most 5 % of runs. Ratios: exact binomial bounds (Clopper and Pearson, The use
of confidence or fiducial limits illustrated in the case of the binomial, 1934). Percentiles: order statistics
(David and Nagaraja, Order Statistics, 3rd ed., section 7.1), which assume nothing about the distribution.
The two agree: a percentile is claimed exactly when the ratio of values within the threshold is.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence

CONFIDENCE = 0.95
"""Of each bound, unless another one is given."""

_MAX_SAMPLES = 10**12
"""More samples than that are treated as unreachable."""


def ratio_bounds(good: float, total: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The lowest and the highest true ratio that `good` of `total` leaves plausible, each with this confidence."""
    from scipy.special import betaincinv

    if total == 0:
        return 0.0, 1.0
    low = 0.0 if good <= 0 else float(betaincinv(good, total - good + 1, 1.0 - confidence))
    high = 1.0 if good >= total else float(betaincinv(good + 1, total - good, confidence))
    return low, high


def samples_without_failure(target: float, confidence: float = CONFIDENCE) -> int:
    """How many good samples in a row claim a ratio of at least `target`: 29,956 for 99.99 %."""
    if target >= 1.0:
        raise ValueError("no number of samples can claim 100 %")
    if target <= 0.0:
        return 0
    # n good ones in a row happen with probability target ** n; below the risk they are a proof.
    return math.ceil(math.log(1.0 - confidence) / math.log(target) - 1e-9)


def more_samples(good: float, total: float, target: float, confidence: float = CONFIDENCE) -> int | None:
    """How many more samples claim a ratio of at least `target` with a probability of 95 %, if they are as those seen.

    Of the samples to come each is bad with the probability that was seen; without a bad one among those seen, none is.
    None where the ratio seen is not above the target: more samples of that kind do not help; and for a target of 100 %.
    `good`, `total`: effective counts need not be integers. `confidence`: of the claim.
    """
    if total == 0:
        return None if target >= 1.0 else samples_without_failure(target, confidence)
    if good / total <= target:
        return None
    if good >= total:
        return max(0, samples_without_failure(target, confidence) - math.floor(total))
    bad = total - good

    def powerful(more: int) -> bool:
        # At most so many bad ones of all are a claim; so likely are no more than that.
        most = _most_bad(total + more, target, 1.0 - confidence) - bad
        return most >= 0 and _binomial_cdf(most, more, bad / total) >= CONFIDENCE

    high = 1
    while not powerful(high):
        high *= 2
        if high > _MAX_SAMPLES:
            return None
    return first(high // 2, high, powerful)


def _most_bad(total: float, target: float, risk: float) -> float:
    """The most bad ones of so many samples that still claim a ratio of at least `target`; -1 where none may be."""
    from scipy.special import bdtrik

    # P(at most so many of n are bad, if the ratio is just the target) is the risk: the bound of Clopper and Pearson.
    return -1.0 if target**total > risk else float(bdtrik(risk, total, 1 - target))


def _binomial_cdf(most: float, total: int, share: float) -> float:
    from scipy.special import bdtr

    return float(bdtr(min(math.floor(most), total), total, share))


def first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The smallest integer from `low` on for which a monotone condition holds; `high` where none below does."""
    return low + bisect_left(range(low, high), True, key=holds)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` % of the sorted values do not exceed (nearest rank)."""
    return values[max(0, math.ceil(percent * len(values) / 100) - 1)]


def percentile_bounds(
    values: Sequence[float],
    percent: float,
    effective: float | None = None,
    confidence: float = CONFIDENCE,
) -> tuple[float, float]:
    """The lowest and the highest plausible percentile, each with this confidence, of sorted values.

    `effective`: as many independent values carry the same evidence; None: all of them. A percentile is at most a value
    exactly when the share of values up to it is at least the percentile, by the bounds of ratios (Woodruff, Confidence
    intervals for medians and other position measures, Journal of the American Statistical Association 47, 1952).
    -inf or inf where there are too few samples to bound it on that side.
    """
    n, p = len(values), percent / 100
    size = float(n) if effective is None else effective

    def bounds(rank: int) -> tuple[float, float]:
        return ratio_bounds(rank / n * size, size, confidence)

    upper = first(1, n + 1, lambda rank: bounds(rank)[0] >= p)
    # The percentile is at least a value when the share of values below it can be too small.
    lower = first(0, n, lambda rank: bounds(rank)[1] >= p)
    return (
        -math.inf if lower < 1 else values[lower - 1],
        math.inf if upper > n else values[upper - 1],
    )


def chance_of_events(calm: int, calm_s: float, waits_s: Sequence[float], window_s: float) -> float:
    """The probability that chance alone gives as many events as soon after a moment, or more, or sooner.

    `calm`: events in `calm_s` seconds without a cause. `waits_s`: the waits of the events in the `window_s` seconds
    after the moment. Chance is events at one constant rate, whatever it is. Then each of all these events falls
    into the window with the probability q = window / (window + calm), so that the number in it is binomial (exact
    conditional test of two Poisson rates: Przyborowski and Wilenski, Homogeneity of results in testing samples
    from Poisson series, Biometrika 31, 1940), and each wait is uniform in the window (Cox and Lewis, The statistical
    analysis of series of events, 1966). Equal numbers are ordered by promptness: minus the sum of the logarithms of
    k uniform numbers has a gamma distribution with shape k (Fisher, Statistical methods for research workers, 4th
    ed., 1932, section 21.1). Both together are one exact test, which one prompt event can pass.
    """
    from scipy.special import bdtr, gammaincc

    count = len(waits_s)
    if not count:
        return 1.0
    total, share = calm + count, window_s / (window_s + calm_s)
    more = 1.0 - float(bdtr(count, total, share)) if count < total else 0.0
    at_least = 1.0 - float(bdtr(count - 1, total, share))
    promptness = sum(math.log(window_s / wait_s) if wait_s > 0 else math.inf for wait_s in waits_s)
    return more + (at_least - more) * float(gammaincc(count, promptness))


def chance_of_moment(times_s: Sequence[float], wait_s: float, window_s: float, total_s: float) -> float:
    """The share of all moments after which as many events come, at least as soon, as after moment 0.

    `times_s`: events on a circle of `total_s` seconds without a cause, sorted; the window is its first `window_s`
    seconds, and the first event in it comes after `wait_s`. If events do not depend on the moment, it is one of all
    moments, with equal probability. That holds for events in bursts too, whatever the bursts are: the events keep
    their distances (a permutation test by shifts: Besag and Diggle, Simple Monte Carlo tests for spatial pattern,
    Journal of the Royal Statistical Society C 26, 1977). Moments are ordered by the number of events in the window,
    equal numbers by the wait for the first. Where the circle is closed, bursts are cut: the share is raised by that of
    the moments whose window is over the seam, relative to it.
    """
    import numpy as np

    times = np.asarray(times_s, dtype=float)
    if not times.size:
        return 1.0
    around = np.concatenate([times - total_s, times, times + total_s])
    # Between two of these moments nothing changes.
    changes = np.concatenate([around, around - window_s, around - wait_s])
    edges = np.unique(np.concatenate([[0.0, total_s], changes[(changes > 0) & (changes < total_s)]]))
    middles = (edges[:-1] + edges[1:]) / 2
    first = np.searchsorted(around, middles)
    counts = np.searchsorted(around, middles + window_s, side="right") - first
    waits = around[np.minimum(first, around.size - 1)] - middles
    seen = int(np.searchsorted(times, window_s, side="right"))
    extreme = (counts > seen) | ((counts == seen) & (waits <= wait_s))
    share = float(np.diff(edges)[extreme].sum()) / total_s
    return min(1.0, share * (1 + window_s / total_s))


def combined_chance(chances: Sequence[float]) -> float:
    """The probability that chance alone gives such probabilities, or smaller ones, in independent tests.

    Fisher's method: minus twice the sum of the logarithms has a chi-square distribution with two degrees of freedom for
    each test (Statistical methods for research workers, 4th ed., 1932, section 21.1).
    """
    from scipy.special import gammaincc

    evidence = sum(-math.log(chance) if chance > 0 else math.inf for chance in chances)
    return float(gammaincc(len(chances), evidence))
