"""One playback, told what happens and when: what it asks for, when it ends, what it accounts for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systems.streaming.player.playback import (
    BUFFER_S,
    STALL_PATIENCE_S,
    STARTUP_PATIENCE_S,
    UNDECIDED_S,
    End,
    Fetch,
    Pause,
    Playback,
    not_started,
)

RATES = (200.0, 400.0, 800.0)
SEGMENT_S = 4.0


def playback(
    *, watch_s: float = 100, segments: int = 50, rule: str = "throughput", adapt: bool = True
) -> Playback:
    return Playback(
        segment_s=SEGMENT_S,
        segments=segments,
        bitrates_kbps=RATES,
        watch_s=watch_s,
        rule=rule,
        adapt=adapt,
        intent_s=10.0,
    )


def arrive(player: Playback, now_s: float, *, quality: int = 0, took_s: float = 1.0) -> None:
    n_bytes = int(RATES[quality] * 1000 / 8 * SEGMENT_S)
    player.arrived(now_s, quality, n_bytes, took_s, 0.05)


def test_begins_with_the_lowest_rendition_and_starts_with_its_arrival() -> None:
    player = playback()
    assert player.next(10.0) == Fetch(0, 0)
    assert player.started_s is None
    arrive(player, 11.5)
    assert player.started_s == 11.5
    assert player.buffer_s == SEGMENT_S
    assert player.played_s == player.stall_s == 0


def test_does_not_adapt_when_it_may_not() -> None:
    player = playback(adapt=False)
    for segment in range(3):
        assert player.next(10.0) == Fetch(segment, 2)
        arrive(player, 10.0, quality=2)


def test_waits_when_the_buffer_is_full_and_goes_on_when_there_is_room() -> None:
    player = playback()
    arrive(player, 10.0)
    while isinstance(player.next(10.0), Fetch):
        arrive(player, 10.0)
    assert player.buffer_s == BUFFER_S
    assert player.next(10.0) == Pause(14.0)
    assert isinstance(player.next(14.0), Fetch)


def test_ends_when_the_viewer_has_seen_enough_not_when_all_is_fetched() -> None:
    player = playback(watch_s=6)
    arrive(player, 10.0)
    assert player.ends_at_s is None
    arrive(player, 11.0)
    assert player.ends_at_s == pytest.approx(16.0)
    assert isinstance(player.next(11.0), Fetch), "a player does not know when its viewer will leave"
    end = player.next(16.0)
    assert isinstance(end, End)
    assert end.at_s == pytest.approx(16.0)
    player.finish(30.0)
    assert player.played_s == pytest.approx(6)
    assert player.stall_s == 0


def test_ends_with_the_title() -> None:
    player = playback(watch_s=1000, segments=2)
    arrive(player, 10.0)
    arrive(player, 11.0)
    end = player.next(11.0)
    assert isinstance(end, End)
    assert end.at_s == pytest.approx(18.0)
    player.finish(18.5)
    assert (player.played_s, player.stall_count) == (pytest.approx(8), 0)


def test_a_stall_begins_when_the_buffer_is_empty_and_ends_with_the_next_segment() -> None:
    player = playback()
    arrive(player, 10.0)
    player.advance(13.0)
    assert player.stall_count == 0
    player.advance(15.0)
    assert (player.stall_count, player.stalls) == (1, [])
    arrive(player, 16.5)
    (stall,) = player.stalls
    assert (stall.ended_at_s, stall.lasted_s) == (16.5, pytest.approx(2.5))
    assert player.stall_s == pytest.approx(2.5)
    assert player.stall_count == 1


def test_a_stall_is_counted_even_if_time_was_told_just_when_the_buffer_ran_dry() -> None:
    player = playback()
    arrive(player, 10.0)
    player.advance(14.0)
    player.advance(15.0)
    assert player.stall_count == 1
    assert player.stall_s == pytest.approx(1.0)


def test_patience() -> None:
    player = playback(watch_s=7)
    assert player.waits_until_s(12.0) == 10 + STARTUP_PATIENCE_S
    arrive(player, 12.0)
    assert player.waits_until_s(13.0) == pytest.approx(12 + SEGMENT_S + STALL_PATIENCE_S)
    assert player.waits_until_s(17.0) == pytest.approx(12 + SEGMENT_S + STALL_PATIENCE_S)
    arrive(player, 18.0)
    assert player.waits_until_s(18.0) == pytest.approx(21.0), "to the end: all of it is here"


def test_giving_up_means_fetching_what_it_was_given_up_for() -> None:
    player = playback()
    arrive(player, 10.0, took_s=0.2)
    arrive(player, 10.2, took_s=0.2)
    step = player.next(10.2)
    assert isinstance(step, Fetch)
    assert step.quality > 0
    assert player.give_up(15.2, step, 400_000, 10_000, 5.0, 0.1)
    assert player.next(15.2) == Fetch(step.segment, 0)
    arrive(player, 15.4, took_s=0.2)
    again = player.next(15.4)
    assert again == Fetch(step.segment + 1, 0), "what was seen of the network while giving up counts"
    for n in range(1, 8):
        arrive(player, 15.4 + 4 * n, took_s=1)
    recovered = player.next(43.4)
    assert isinstance(recovered, Fetch)
    assert recovered.quality > 0, "it was given up for the other rendition once, not for ever"


def test_nothing_is_given_up_before_the_first_frame() -> None:
    player = playback()
    assert not player.give_up(20.0, Fetch(0, 2), 400_000, 1, 10.0, 0.1)


def test_asked_to_leave() -> None:
    player = playback()
    assert player.when_asked_to_leave(12.0)[0] == "exit_before_start"
    assert player.when_asked_to_leave(10 + UNDECIDED_S)[0] == "start_failure"
    arrive(player, 21.0)
    assert player.when_asked_to_leave(22.0) == ("left", None)
    assert player.when_asked_to_leave(25 + UNDECIDED_S - 0.1) == ("left", None)
    outcome, error = player.when_asked_to_leave(25 + UNDECIDED_S)
    assert outcome == "playback_failure"
    assert error == "stalled for 10.0 s when asked to leave"
    assert not_started(0.0)[0] == "exit_before_start"


@given(
    rule=st.sampled_from(("throughput", "bola")),
    watch_s=st.floats(1, 150),
    segments=st.integers(1, 40),
    adapt=st.booleans(),
    took=st.lists(st.tuples(st.floats(0.001, 12), st.floats(0, 1), st.booleans()), min_size=1, max_size=80),
)
@settings(deadline=None, max_examples=200)
def test_any_network(
    rule: str, watch_s: float, segments: int, adapt: bool, took: list[tuple[float, float, bool]]
) -> None:
    """Drive it through any sequence of downloads (how long, what share was waiting, whether it failed)."""
    player = playback(watch_s=watch_s, segments=segments, rule=rule, adapt=adapt)
    now, fetched = 10.0, 0
    downloads = iter(took)
    while True:
        step = player.next(now)
        assert 0 <= player.buffer_s <= max(BUFFER_S, 2 * SEGMENT_S) + 1e-6
        if isinstance(step, End):
            assert player.ends_at_s == step.at_s
            now = max(now, step.at_s)
            player.finish(now)
            assert player.played_s == pytest.approx(min(watch_s, segments * SEGMENT_S), abs=1e-5)
            break
        if isinstance(step, Pause):
            assert step.until_s > now
            now = step.until_s
            continue
        assert step.segment == fetched
        assert step.quality in range(len(RATES))
        download = next(downloads, None)
        if download is None:
            player.finish(now)
            break
        lasts_s, waiting, fails = download
        now += lasts_s
        player.advance(now)
        if not fails:
            arrive_bytes = int(RATES[step.quality] * 1000 / 8 * SEGMENT_S)
            player.arrived(now, step.quality, arrive_bytes, lasts_s, lasts_s * waiting)
            fetched += 1
        if player.started_s is not None:
            lived_s = min(now, player.ends_at_s or now) - player.started_s
            assert player.played_s + player.stall_s == pytest.approx(lived_s, abs=1e-5)
    assert player.segments_fetched == fetched
    assert sum(stall.lasted_s for stall in player.stalls) == pytest.approx(player.stall_s, abs=1e-5)
    assert player.stall_count == len(player.stalls)
    assert player.when_asked_to_leave(now)[0] in ("left", "exit_before_start", "start_failure")
    assert player.bitrate_kbps == 0 or RATES[0] <= player.bitrate_kbps <= RATES[-1]
