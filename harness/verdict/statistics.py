"""How sure a finite number of samples makes us. Pure functions.

Every bound is one-sided at 95 %: a claim ("at least", "at most") is made only when its own bound allows it,
so a wrong claim is made in at most 5 % of runs. Ratios: exact binomial bounds (Clopper and Pearson, The use
of confidence or fiducial limits illustrated in the case of the binomial, 1934). Percentiles: order statistics
(David and Nagaraja, Order Statistics, 3rd ed., section 7.1), which assume nothing about the distribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

CONFIDENCE = 0.95
_RISK = 1.0 - CONFIDENCE


def ratio_bounds(good: int, total: int) -> tuple[float, float]:
    """The lowest and the highest true ratio that `good` of `total` leaves plausible, each at 95 %."""
    from scipy.special import betaincinv

    if total == 0:
        return 0.0, 1.0
    low = 0.0 if good == 0 else float(betaincinv(good, total - good + 1, _RISK))
    high = 1.0 if good == total else float(betaincinv(good + 1, total - good, CONFIDENCE))
    return low, high


def samples_without_failure(target: float) -> int:
    """How many good samples in a row claim a ratio of at least `target`: 29,956 for 99.99 %."""
    if target >= 1.0:
        raise ValueError("no number of samples can claim 100 %")
    if target <= 0.0:
        return 0
    return math.ceil(math.log(_RISK) / math.log(target) - 1e-9)


def more_for_ratio(good: int, total: int, target: float) -> int | None:
    """How many more samples, failing at the rate seen, would claim `target`; None when none would."""
    if target >= 1.0:
        return None
    bad = total - good
    if bad == 0:
        return max(0, samples_without_failure(target) - total)
    if good / total <= target:
        return None

    def claims(n: int) -> bool:
        failures = math.ceil(bad * n / total)
        return ratio_bounds(n - failures, n)[0] >= target

    high = total
    while not claims(high):
        high *= 2
        if high > 10**12:
            return None
    low = total
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if claims(middle) else (middle + 1, high)
    return high - total


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` % of the sorted values do not exceed (nearest rank)."""
    return values[max(0, math.ceil(percent / 100 * len(values)) - 1)]


def percentile_bounds(values: Sequence[float], percent: float) -> tuple[float, float]:
    """The lowest and the highest plausible percentile, each at 95 %, of sorted values.

    -inf or inf where there are too few samples to bound it on that side.
    """
    from scipy.special import bdtr

    n, p = len(values), percent / 100
    if n == 0:
        return -math.inf, math.inf
    # P(the percentile is above the k-th smallest) = P(Binomial(n, p) >= k); search for the tightest k.
    upper = _first(n, lambda k: float(bdtr(k - 1, n, p)) >= CONFIDENCE)
    lower = _first(n, lambda k: float(bdtr(k - 1, n, p)) > _RISK)
    return (
        -math.inf if lower <= 1 else values[lower - 2],
        math.inf if upper > n else values[upper - 1],
    )


def _first(n: int, holds: object) -> int:
    """The smallest k in 1..n for which a monotone condition holds, n + 1 when it never does."""
    assert callable(holds)
    low, high = 1, n + 1
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def samples_for_percentile(percent: float) -> int:
    """How many samples bound a percentile from above at all: 59 for the 95th, 299 for the 99th."""
    return math.ceil(math.log(_RISK) / math.log(percent / 100) - 1e-9)
