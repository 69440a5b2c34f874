from __future__ import annotations

import math
import random
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.sli.statistics import (
    more_samples,
    percentile,
    percentile_bounds,
    ratio_bounds,
    samples_without_failure,
)

counts = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
targets = st.floats(0.5, 0.9999)


@pytest.mark.parametrize(("target", "needed"), [(0.9999, 29_956), (0.999, 2_995), (0.99, 299), (0.95, 59)])
def test_samples_a_claim_takes_without_failure(target: float, needed: int) -> None:
    assert samples_without_failure(target) == needed
    assert ratio_bounds(needed, needed)[0] >= target
    assert ratio_bounds(needed - 1, needed - 1)[0] < target
    assert more_samples(1, 1, target) == needed - 1
    assert more_samples(0, 0, target) == needed


def test_bounds_of_nothing_say_nothing() -> None:
    assert ratio_bounds(0, 0) == (0.0, 1.0)
    assert percentile_bounds([], 95) == (-math.inf, math.inf)


@pytest.mark.parametrize(("good", "total"), [(0, 10), (10, 10), (7, 10), (995, 1000), (1, 30_000)])
def test_ratio_bounds_are_those_of_scipy(good: int, total: int) -> None:
    # scipy's two-sided interval at 90 % has the one-sided bounds at 95 %.
    exact = stats.binomtest(good, total).proportion_ci(0.90, method="exact")
    assert ratio_bounds(good, total) == pytest.approx((exact.low, exact.high), abs=1e-9)


@given(counts)
@settings(deadline=None)
def test_ratio_bounds_enclose_the_ratio(count: tuple[int, int]) -> None:
    good, total = count
    low, high = ratio_bounds(good, total)
    assert 0 <= low <= good / total <= high <= 1


@given(counts)
@settings(deadline=None)
def test_better_samples_never_lower_a_bound(count: tuple[int, int]) -> None:
    good, total = count
    low, high = ratio_bounds(good, total)
    for better in ((good + 1, total + 1), (min(good + 1, total), total)):
        assert ratio_bounds(*better)[0] >= low
        assert ratio_bounds(*better)[1] >= high - 1e-12


def test_a_claim_is_wrong_in_at_most_five_percent_of_runs() -> None:
    # The true ratio just misses the target: how often would 300 samples claim it?
    rng = random.Random(1)
    true, claims = 0.98, []
    for _ in range(2000):
        good = sum(rng.random() < true for _ in range(300))
        claims.append(ratio_bounds(good, 300)[0] > true)
    assert fmean(claims) <= 0.06


@given(counts, targets)
@settings(deadline=None)
def test_more_samples_claim_it_with_a_probability_of_95_percent(
    count: tuple[int, int], target: float
) -> None:
    good, total = count
    low, high = ratio_bounds(good, total)
    if low >= target or high < target:
        return
    more = more_samples(good, total, target)
    if good / total <= target:
        assert more is None
        return
    assert more is not None

    def power(number: int) -> float:
        claims = [bad for bad in range(number + 1) if claimed(good, total, number, bad, target)]
        return float(stats.binom(number, 1 - good / total).cdf(max(claims))) if claims else 0.0

    if more < 300:
        assert power(more) >= 0.95
        assert power(more - 1) < 0.95 or more < 200  # a smaller one may do, by the steps of whole samples


def claimed(good: int, total: int, more: int, bad: int, target: float) -> bool:
    return ratio_bounds(good + more - bad, total + more)[0] >= target - 1e-12


def test_the_number_that_is_needed_is_enough_in_95_percent_of_runs() -> None:
    rng = random.Random(4)
    more = more_samples(194, 200, 0.95)
    assert more is not None
    runs = [sum(rng.random() < 0.97 for _ in range(more)) for _ in range(400)]
    assert fmean(ratio_bounds(194 + good, 200 + more)[0] >= 0.95 for good in runs) >= 0.92


def test_what_no_number_of_samples_settles() -> None:
    assert more_samples(100, 100, 1.0) is None
    assert more_samples(9, 10, 0.9) is None
    assert more_samples(0, 0, 1.0) is None
    assert more_samples(93, 100, 0.95) is None  # the rate seen is below the target


def test_percentile_is_the_nearest_rank() -> None:
    values = [float(n) for n in range(1, 101)]
    assert percentile(values, 95) == 95
    assert percentile(values, 50) == 50
    assert percentile(values, 1) == 1
    assert percentile([7.0], 99.9) == 7


@pytest.mark.parametrize(("percent", "least"), [(95, 59), (99, 299), (99.9, 2995), (50, 5)])
def test_an_upper_bound_takes_enough_values(percent: float, least: int) -> None:
    assert percentile_bounds([1.0] * least, percent)[1] == 1.0
    assert percentile_bounds([1.0] * (least - 1), percent)[1] == math.inf


@given(st.lists(st.floats(0, 100), min_size=1, max_size=400), st.floats(1, 99))
@settings(deadline=None)
def test_percentile_bounds_enclose_the_percentile(values: list[float], percent: float) -> None:
    values = sorted(values)
    low, high = percentile_bounds(values, percent)
    assert low <= percentile(values, percent) <= high


@given(st.lists(st.floats(0, 1), min_size=1, max_size=400), st.floats(1, 99), st.floats(0, 1))
@settings(deadline=None)
def test_percentiles_and_ratios_agree(values: list[float], percent: float, limit: float) -> None:
    values = sorted(values)
    low, high = percentile_bounds(values, percent)
    within = sum(value <= limit for value in values)
    ratio_low, ratio_high = ratio_bounds(within, len(values))
    p = percent / 100
    # Equality to the last bit is not the point: skip where a bound falls on the percentile itself.
    if abs(ratio_low - p) > 1e-9:
        assert (high <= limit) == (ratio_low > p)
    if abs(ratio_high - p) > 1e-9:
        assert (low > limit) == (ratio_high < p)


def test_percentile_bounds_cover_the_true_percentile() -> None:
    rng = random.Random(2)
    true = -math.log(1 - 0.95)  # of an exponential distribution
    above, below = [], []
    for _ in range(1000):
        low, high = percentile_bounds(sorted(rng.expovariate(1) for _ in range(200)), 95)
        above.append(low > true)
        below.append(high < true)
    assert fmean(above) <= 0.06
    assert fmean(below) <= 0.06
