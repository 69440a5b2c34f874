"""What waits to be played, and the account of what was."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systems.streaming.player.buffer import Buffer

RATES = (100.0, 200.0, 400.0)


def test_plays_what_there_is_and_stalls_when_there_is_nothing() -> None:
    buffer = Buffer(2000, RATES)
    buffer.add(0)
    buffer.add(2)
    buffer.drain(3000)
    assert buffer.level_ms == 1000
    buffer.drain(1500)
    assert (buffer.level_ms, buffer.stall_ms, buffer.stalls) == (0, 500, 1)
    buffer.drain(250)
    assert (buffer.stall_ms, buffer.stalls, buffer.played_ms) == (750, 1, 4000)
    buffer.add(1)
    buffer.drain(2500)
    assert (buffer.stall_ms, buffer.stalls, buffer.played_ms) == (1250, 2, 6000)


def test_a_segment_counts_when_it_starts_to_play() -> None:
    buffer = Buffer(2000, RATES)
    for quality in (0, 2, 2, 1):
        buffer.add(quality)
    buffer.drain(2000)
    assert (buffer.segments_played, buffer.sum_kbps, buffer.switches) == (1, 100, 0)
    buffer.drain(1)
    assert (buffer.segments_played, buffer.sum_kbps, buffer.switches, buffer.sum_change_kbps) == (
        2,
        500,
        1,
        300,
    )
    buffer.play_out()
    assert (buffer.segments_played, buffer.sum_kbps, buffer.switches, buffer.sum_change_kbps) == (
        4,
        1100,
        2,
        500,
    )
    assert buffer.sum_utility == pytest.approx(0 + 2 * math.log(4) + math.log(2))
    assert buffer.empty
    assert buffer.stall_ms == 0


@given(
    st.sampled_from((1000.0, 2002.0, 4000.0)),
    st.lists(st.one_of(st.integers(0, 2), st.floats(0, 20_000)), max_size=60),
)
@settings(deadline=None)
def test_time_is_either_played_or_stalled_and_nothing_is_played_that_was_not_there(
    segment_ms: float, steps: list[int | float]
) -> None:
    buffer = Buffer(segment_ms, RATES)
    added, drained = 0, 0.0
    for step in steps:
        if isinstance(step, int):
            buffer.add(step)
            added += 1
        else:
            buffer.drain(step)
            drained += step
        assert buffer.level_ms >= 0
        assert buffer.level_ms <= added * segment_ms
        assert buffer.total_ms == pytest.approx(drained)
        assert buffer.played_ms + buffer.stall_ms == pytest.approx(drained)
        assert buffer.played_ms + buffer.level_ms == pytest.approx(added * segment_ms, abs=1e-6)
        assert buffer.segments_played <= added
        assert RATES[0] * buffer.segments_played <= buffer.sum_kbps <= RATES[-1] * buffer.segments_played
        assert buffer.switches <= max(0, buffer.segments_played - 1)
