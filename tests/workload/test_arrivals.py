"""Open-loop Poisson arrivals."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.experiment.load import Load, LoadSegment
from harness.system.streams import stream
from harness.workload.schedule import arrival_times, scheduled_arrivals
from tests.workload.shapes import constant

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
    times = list(arrival_times(seed, "viewers", constant(rate, for_s)))
    assert all(0 <= one < two < for_s for one, two in pairwise(times))
    assert times == list(arrival_times(seed, "viewers", constant(rate, for_s)))
    assert times == list(arrival_times(seed, "viewers", constant(rate, for_s * longer)))[: len(times)]


def test_the_rate_is_the_rate() -> None:
    """100,000 expected: the count lies within four standard deviations (each is sqrt of the mean)."""
    times = list(arrival_times(1, "viewers", constant(10.0, 10_000.0)))
    assert abs(len(times) - 100_000) < 4 * math.sqrt(100_000)
    gaps = [two - one for one, two in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    # Exponential gaps: the standard deviation is the mean.
    assert math.sqrt(variance) == pytest.approx(mean, rel=0.02)


def test_loads_are_independent() -> None:
    one, two = (list(arrival_times(1, name, constant(1.0, 1000.0))) for name in ("one", "two"))
    assert not set(one) & set(two)


@pytest.mark.parametrize(
    ("rate", "for_s"), [(0, 1), (1, 0), (-1, 1), (math.inf, 1), (1, math.inf), (math.nan, 1)]
)
def test_what_makes_no_sense_is_refused(rate: float, for_s: float) -> None:
    with pytest.raises(ValueError, match="load 'viewers'"):
        next(arrival_times(1, "viewers", constant(rate, for_s)))


SHAPES = st.lists(
    st.builds(
        LoadSegment,
        st.floats(min_value=0, max_value=20),
        st.floats(min_value=0, max_value=20),
        st.floats(min_value=0.1, max_value=30),
    ),
    min_size=1,
    max_size=5,
).filter(lambda shape: any(one.from_per_s or one.to_per_s for one in shape))


@given(seed=SEEDS, shape=SHAPES, more=SHAPES)
@settings(deadline=None, max_examples=60)
def test_a_shape_repeats_and_later_segments_move_no_earlier_arrival(
    seed: int, shape: list[LoadSegment], more: list[LoadSegment]
) -> None:
    times = list(arrival_times(seed, "viewers", shape))
    end_s = sum(one.for_s for one in shape)
    assert all(0 <= one <= two <= end_s for one, two in pairwise(times))
    assert times == list(arrival_times(seed, "viewers", shape))
    assert times == list(arrival_times(seed, "viewers", [*shape, *more]))[: len(times)]


def test_every_segment_has_as_many_arrivals_as_its_area_says() -> None:
    """A pause, steps, a ramp up and a ramp down; each count within four standard deviations of a Poisson count."""
    shape = (
        LoadSegment(0, 0, 1000),
        LoadSegment(5, 5, 1000),
        LoadSegment(5, 25, 1000),
        LoadSegment(40, 0, 1000),
        LoadSegment(0, 2, 1000),
    )
    times = list(arrival_times(3, "viewers", shape))
    for index, segment in enumerate(shape):
        inside = [time_s for time_s in times if index * 1000 <= time_s < (index + 1) * 1000]
        assert abs(len(inside) - segment.expected) <= 4 * math.sqrt(segment.expected)
    # The first half of a ramp from 40/s to 0/s has three quarters of its arrivals.
    falling = [time_s - 3000 for time_s in times if 3000 <= time_s < 4000]
    early = sum(time_s < 500 for time_s in falling)
    assert abs(early - 0.75 * len(falling)) <= 4 * math.sqrt(len(falling) * 0.75 * 0.25)


def test_the_gaps_of_a_shape_are_exponential_in_its_area() -> None:
    """The areas between arrivals have mean 1 and standard deviation 1, as those of a Poisson process have."""
    shape = (LoadSegment(0, 20, 500), LoadSegment(3, 3, 300), LoadSegment(20, 1, 500))

    def area(until_s: float) -> float:
        total = 0.0
        for one in shape:
            part_s = min(until_s, one.for_s)
            total += one.from_per_s * part_s + (one.to_per_s - one.from_per_s) / one.for_s * part_s**2 / 2
            until_s -= part_s
        return total

    areas = [area(time_s) for time_s in arrival_times(5, "viewers", shape)]
    gaps = [two - one for one, two in pairwise(areas)]
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(1, abs=4 / math.sqrt(len(gaps)))
    assert math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) == pytest.approx(1, rel=0.05)


def test_a_load_does_not_move_the_arrivals_of_another() -> None:
    one = Load.model_validate({"arrive": [{"to": "9/s", "for": "30s"}], "mix": "all"})
    two = Load.model_validate({"arrive": "3/s", "for": "20s", "mix": "all"})
    alone = list(scheduled_arrivals(4, {"one": one}))
    both = list(scheduled_arrivals(4, {"two": two, "one": one}))
    assert [arrival for arrival in both if arrival.load == "one"] == alone
    assert both == sorted(both)


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
