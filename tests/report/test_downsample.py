from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.report.svg.figure import Point, minmax

POINTS = st.lists(st.tuples(st.floats(0, 1e4), st.floats(-1e6, 1e6)), max_size=400).map(
    lambda points: sorted(points, key=lambda point: point[0])
)


@settings(deadline=None)
@given(POINTS, st.integers(2, 60))
def test_bounded_and_nothing_extreme_is_lost(points: list[Point], most: int) -> None:
    kept = minmax(points, most)
    assert len(kept) <= max(2, most)
    assert not points or min(y for _, y in kept) == min(y for _, y in points)
    assert not points or max(y for _, y in kept) == max(y for _, y in points)


@settings(deadline=None)
@given(POINTS, st.integers(2, 60))
def test_what_is_kept_is_a_subsequence(points: list[Point], most: int) -> None:
    rest = iter(points)
    assert all(point in rest for point in minmax(points, most))


def test_few_points_are_left_alone() -> None:
    assert minmax([(0, 1), (0, 2), (5, 3)], 3) == [(0, 1), (0, 2), (5, 3)]


def test_a_single_point_cannot_hold_two_extremes() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        minmax([(0, 1)], 1)
