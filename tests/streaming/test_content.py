"""Titles, the ladder, sizes and bodies of segments, network classes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systems.streaming.content.catalogue import (
    GENRES,
    LADDER,
    SEGMENT_S,
    TITLES,
    segment_blocks,
    segment_bytes,
)
from systems.streaming.content.classes import BY_NAME, CLASSES

title = st.sampled_from(TITLES)


def test_titles_are_many_and_distinct() -> None:
    assert len({each.id for each in TITLES}) == len(TITLES) >= 200
    assert {each.genre for each in TITLES} == set(GENRES)
    assert all(each.segments * SEGMENT_S > 300 for each in TITLES), "longer than anyone watches"


def test_the_ladder_rises() -> None:
    assert list(LADDER) == sorted(set(LADDER))


@given(title, st.integers(0, len(LADDER) - 1), st.data())
@settings(deadline=None)
def test_a_segment_is_about_as_big_as_its_bitrate_says(each, rendition, data) -> None:  # type: ignore[no-untyped-def]
    segment = data.draw(st.integers(0, each.segments - 1))
    mean = LADDER[rendition] * 1000 / 8 * SEGMENT_S
    size = segment_bytes(each.id, rendition, segment)
    assert 0.69 * mean <= size <= 1.31 * mean
    assert size == segment_bytes(each.id, rendition, segment)
    if rendition:
        assert size > segment_bytes(each.id, rendition - 1, segment)


def test_over_a_title_the_sizes_average_to_the_bitrate() -> None:
    for rendition in (0, len(LADDER) - 1):
        sizes = [segment_bytes(TITLES[3].id, rendition, n) for n in range(TITLES[3].segments)]
        assert len(set(sizes)) > 90
        assert sum(sizes) / len(sizes) * 8 / SEGMENT_S / 1000 == pytest.approx(LADDER[rendition], rel=0.05)


def test_sizes_do_not_change() -> None:
    """They are part of every recorded run."""
    assert [segment_bytes("title-000", 0, n) for n in range(3)] == SIZES


SIZES = [82695, 114912, 148227]


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (("title-999", 0, 0), KeyError),
        (("title-000", len(LADDER), 0), IndexError),
        (("title-000", -1, 0), IndexError),
        (("title-000", 0, TITLES[0].segments), IndexError),
        (("title-000", 0, -1), IndexError),
    ],
)
def test_what_does_not_exist(key: tuple[str, int, int], error: type[Exception]) -> None:
    with pytest.raises(error):
        segment_bytes(*key)


@given(st.integers(0, 6_000_000))
@settings(deadline=None, max_examples=60)
def test_bodies_have_their_size(n_bytes: int) -> None:
    assert sum(map(len, segment_blocks(n_bytes))) == n_bytes


def test_all_of_a_large_body_but_its_end_is_shared() -> None:
    one, other = segment_blocks(3_000_000), segment_blocks(4_000_000)
    own = [block for block in one if not any(block is shared for shared in other)]
    assert sum(map(len, own)) <= 2**18


# ---------------------------------------------------------------------- network classes


def test_five_classes_of_which_each_is_slower_or_farther_than_the_one_before() -> None:
    assert list(BY_NAME) == ["fibre", "dsl", "4g", "4g-congested", "3g"]
    assert sum(each.share for each in CLASSES) == pytest.approx(0.96), "edge and satellite are left out"


@pytest.mark.parametrize("network", CLASSES, ids=lambda each: each.name)
def test_access_is_drawn_within_its_class(network) -> None:  # type: ignore[no-untyped-def]
    rng = random.Random(1)
    drawn = [network.access(rng) for _ in range(300)]
    low, high = network.down_bps
    assert all(low <= access.down_bps <= high for access in drawn)
    assert all(network.rtt_s[0] <= access.rtt_s <= network.rtt_s[1] for access in drawn)
    below_middle = sum(access.down_bps < (low * high) ** 0.5 for access in drawn)
    assert 110 < below_middle < 190, "log-uniform"


def test_even_the_slowest_access_carries_the_lowest_rendition() -> None:
    assert min(each.down_bps[0] for each in CLASSES) > 2 * LADDER[0] * 1000
