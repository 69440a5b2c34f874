"""Which appliance is asked next."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systems.streaming.player.sources import EXCLUDED_S, Sources

A, B, C = "http://a", "http://b", "http://c"


def test_the_first_of_the_list_is_used_until_it_fails() -> None:
    sources = Sources([A, B, C], failover=True)
    assert sources.current == A
    assert sources.failed(0)
    assert sources.current == B
    assert sources.failovers == 1


def test_who_failed_is_passed_over_for_a_while_and_then_taken_again() -> None:
    sources = Sources([A, B], failover=True)
    sources.failed(10)
    sources.rank([A, B], 10 + EXCLUDED_S - 0.1)
    assert sources.current == B
    sources.rank([A, B], 10 + EXCLUDED_S)
    assert sources.current == A
    assert sources.failovers == 1, "going back to a better one is no failover"


def test_after_all_have_failed_a_new_round_begins_with_the_best_and_not_at_once() -> None:
    sources = Sources([A, B], failover=True)
    assert sources.failed(0)
    assert not sources.failed(1), "the caller is to pause"
    assert sources.current == A
    assert sources.failed(2)
    assert sources.current == B


def test_without_failover_nothing_ever_moves() -> None:
    sources = Sources([A, B], failover=False)
    for now in range(5):
        assert not sources.failed(now)
        assert sources.current == A
    sources.rank([B, A], 9)
    assert sources.current == A
    assert sources.failovers == 0


def test_without_failover_a_list_that_no_longer_has_the_source_moves_it() -> None:
    sources = Sources([A, B], failover=False)
    sources.rank([B, C], 1)
    assert sources.current == B


def test_an_empty_list_is_refused_at_first_and_changes_nothing_later() -> None:
    with pytest.raises(ValueError, match="no source"):
        Sources([], failover=True)
    sources = Sources([A, B], failover=True)
    sources.rank([], 1)
    assert sources.urls == (A, B)


urls = st.lists(st.sampled_from([f"http://{name}" for name in "abcdef"]), min_size=1, max_size=9)


@given(urls, st.lists(st.one_of(urls, st.floats(0, 3)), max_size=40))
@settings(deadline=None)
def test_no_source_is_tried_twice_in_a_round(first: list[str], steps: list[list[str] | float]) -> None:
    """A number is a failure after so many seconds; a list is a new ranking."""
    sources = Sources(first, failover=True)
    ranked, now, tried, moves = first, 0.0, [sources.current], 0
    for step in steps:
        if isinstance(step, list):
            sources.rank(step, now)
            ranked, tried = step, [sources.current]
            assert sources.current in ranked
            continue
        now += step
        if now >= EXCLUDED_S:
            break
        before = sources.current
        go_on = sources.failed(now)
        moves += sources.current != before
        assert sources.current in ranked
        assert sources.failovers == moves
        if go_on:
            assert sources.current not in tried
            tried.append(sources.current)
        else:
            tried = [sources.current]
