"""Open-loop Poisson arrivals."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.system.streams import stream
from harness.workload.schedule import arrival_times

SEEDS = st.integers(min_value=0, max_value=2**63)


@given(
    seed=SEEDS,
    rate=st.floats(min_value=0.01, max_value=50),
    for_s=st.floats(min_value=0.1, max_value=60),
    longer=st.floats(min_value=1, max_value=3),
)
@settings(deadline=None, max_examples=50)
def test_ascending_repeatable_and_not_moved_by_a_longer_load(
    seed: int, rate: float, for_s: float, longer: float
) -> None:
    times = list(arrival_times(seed, "viewers", rate, for_s))
    assert all(0 <= one < two < for_s for one, two in pairwise(times))
    assert times == list(arrival_times(seed, "viewers", rate, for_s))
    assert times == list(arrival_times(seed, "viewers", rate, for_s * longer))[: len(times)]


def test_the_rate_is_the_rate() -> None:
    """100,000 expected: the count lies within four standard deviations (each is sqrt of the mean)."""
    times = list(arrival_times(1, "viewers", 10.0, 10_000.0))
    assert abs(len(times) - 100_000) < 4 * math.sqrt(100_000)
    gaps = [two - one for one, two in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    # Exponential gaps: the standard deviation is the mean.
    assert math.sqrt(variance) == pytest.approx(mean, rel=0.02)


def test_loads_are_independent() -> None:
    one, two = (list(arrival_times(1, name, 1.0, 1000.0)) for name in ("one", "two"))
    assert not set(one) & set(two)


@pytest.mark.parametrize(
    ("rate", "for_s"), [(0, 1), (1, 0), (-1, 1), (math.inf, 1), (1, math.inf), (math.nan, 1)]
)
def test_what_makes_no_sense_is_refused(rate: float, for_s: float) -> None:
    with pytest.raises(ValueError, match="load 'viewers'"):
        next(arrival_times(1, "viewers", rate, for_s))


@given(seed=SEEDS, names=st.lists(st.text(max_size=3), min_size=2, max_size=3))
@settings(deadline=None, max_examples=50)
def test_streams_of_different_names_differ(seed: int, names: list[str]) -> None:
    first = stream(seed, *names).random()
    assert first == stream(seed, *names).random()
    assert first != stream(seed + 1, *names).random()
    assert first != stream(seed, *names, "").random()
    assert first != stream(seed, "".join(names)).random()


def test_a_stream_never_changes() -> None:
    """Recorded runs are replayed by later versions: the numbers are part of the format."""
    assert stream(7, "arrivals", "viewers").random() == 0.4691782638053099
