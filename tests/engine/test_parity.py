"""How far apart two runs are: distances of distributions, and what is compared at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.engine.parity import Pair, distance
from harness.verdict.model import ExperimentResult, GateResult, Verdict

values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30).map(sorted)


@settings(deadline=None)
@given(values, values)
def test_the_distance_is_one(a: list[float], b: list[float]) -> None:
    """Symmetric, between 0 and 1, 0 for the same sample; and what its definition says, by counting."""
    found = distance(a, b)
    assert 0 <= found <= 1
    assert found == distance(b, a)
    assert distance(a, a) == 0
    below = [
        abs(sum(x <= value for x in a) / len(a) - sum(x <= value for x in b) / len(b)) for value in a + b
    ]
    assert found == pytest.approx(max(below))


def test_samples_without_overlap_are_as_far_apart_as_can_be() -> None:
    assert distance([1.0, 2.0], [3.0]) == 1


GATE = GateResult("visits", Verdict.PASSED, 1.0, (0.9, 1.0), 0.9, 50, "ratio", "good")
RESULT = ExperimentResult(
    name="e",
    title="t",
    file="e.chaos.yaml",
    verdict=Verdict.PASSED,
    reason="1 of 1 gates hold",
    seed=1,
    run="r",
    history_sha256="",
    replay="",
    gates=(GATE,),
    faults=(),
)


def test_they_agree_when_every_verdict_does() -> None:
    assert Pair(RESULT, replace(RESULT, gates=(replace(GATE, value=0.95),)), ()).agree
    failed = replace(GATE, verdict=Verdict.FAILED)
    assert not Pair(RESULT, replace(RESULT, gates=(failed,), verdict=Verdict.FAILED), ()).agree
    assert not Pair(RESULT, replace(RESULT, gates=()), ()).agree
