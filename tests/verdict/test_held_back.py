"""Requests that waited for the one before: what they would have shown had they been sent in time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.engine.read import read_experiment
from harness.engine.suite import run
from harness.gates.result import Verdict
from harness.verdict.held_back import Request, held_back

CASES = Path(__file__).parent / "pacing"


def one_after_the_other(latencies: list[float], pause_s: float) -> list[Request]:
    found, now_s = [], 0.0
    for latency_s in latencies:
        found.append(Request(now_s, now_s + latency_s))
        now_s += latency_s + pause_s
    return found


def test_requests_behind_a_slow_one_count_from_when_they_were_meant() -> None:
    requests = one_after_the_other([0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0], pause_s=0.25)
    assert held_back(requests, 0.0, 0.5) == [0.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]


def test_a_slow_answer_behind_a_slow_one_holds_back_on_its_own() -> None:
    requests = one_after_the_other([1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0], pause_s=0.25)
    assert held_back(requests, 0.0, 0.5) == [1.0, 0.75, 0.5, 0.25, 0.0, 1.0, 0.75]


@given(st.lists(st.floats(0, 0.5), min_size=1), st.floats(0.01, 5))
def test_nothing_is_held_back_without_a_slow_answer(latencies: list[float], pause_s: float) -> None:
    requests = one_after_the_other(latencies, pause_s)
    assert held_back(requests, 0.1, 0.6) == [one.end_s - one.start_s for one in requests]


@given(st.lists(st.floats(0, 20), min_size=1), st.floats(0, 5), st.floats(0, 1))
def test_no_request_becomes_faster(latencies: list[float], pause_s: float, median_s: float) -> None:
    requests = one_after_the_other(latencies, pause_s)
    corrected = held_back(requests, median_s, 0.5)
    assert all(
        after >= one.end_s - one.start_s and after <= one.end_s
        for after, one in zip(corrected, requests, strict=True)
    )


@given(st.lists(st.floats(0, 20), min_size=1))
def test_requests_that_do_not_wait_are_left_alone(latencies: list[float]) -> None:
    requests = [Request(0.01 * index, 0.01 * index + latency) for index, latency in enumerate(latencies)]
    overlapping = [one for one in requests if one.end_s > 0.01 * len(latencies)]
    assert held_back(overlapping, 0.1, 0.5) == [one.end_s - one.start_s for one in overlapping]


@pytest.mark.parametrize(
    ("name", "verdict", "notes"),
    [
        ("m7-single", Verdict.FAILED, 0),
        ("m7-closed", Verdict.PASSED, 1),
        ("m7-paced", Verdict.FAILED, 0),
    ],
)
def test_a_pause_of_the_server_is_in_the_verdict_or_in_a_note(
    name: str, verdict: Verdict, notes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients that ask once, 12 times one after the other, or 12 times at intended times."""
    monkeypatch.syspath_prepend(CASES)
    result = run(read_experiment(CASES / f"{name}.chaos.yaml"), reports=tmp_path)
    assert result.verdict is verdict
    assert len([note for note in result.notes if "harness.constant_pacing" in note]) == notes
