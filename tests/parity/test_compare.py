"""How far apart two runs are: what is compared, with which aim, and what is said when it is not met."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.gates.result import GateResult, Verdict
from harness.parity.comparison import Measurement, compare_results
from harness.parity.model import (
    MIN_ROWS,
    Comparison,
    ExperimentParity,
    Outcome,
    ParityResult,
    compare_samples,
)
from harness.parity.text import summarize
from harness.system import ParityMetric
from harness.verdict.model import ArmResult, ExperimentResult

MANY = [float(n) for n in range(MIN_ROWS)]


def test_few_rows_are_no_distribution() -> None:
    assert compare_samples("t", "c", MANY, MANY[1:]) is None


def test_samples_without_overlap_are_as_far_apart_as_can_be() -> None:
    found = compare_samples("t", "c", [1.0] * MIN_ROWS, [2.0] * MIN_ROWS)
    assert found is not None
    assert (found.sim.p50, found.live.p50, found.distance, found.shift_s) == (1, 2, 1, 1)


@settings(deadline=None)
@given(st.lists(st.integers(-1000, 1000), min_size=MIN_ROWS, max_size=40), st.integers(-100, 100))
def test_a_shifted_sample_is_shifted_by_as_much(values: list[int], shift: int) -> None:
    """And the order of the rows does not matter."""
    found = compare_samples("t", "c", values, [value + shift for value in reversed(values)])
    assert found is not None
    assert found.shift_s == pytest.approx(abs(shift), abs=1e-9)
    assert (found.distance == 0) == (shift == 0)
    assert 0 <= found.distance <= 1
    assert found.live.p90 - found.sim.p90 == pytest.approx(shift)


GATE = GateResult(
    name="visits",
    slo="visits",
    verdict=Verdict.PASSED,
    reason="good",
    value=1.0,
    interval=(0.9, 1.0),
    threshold=0.9,
    unit="ratio",
    samples=100,
)
EVENT = replace(
    GATE, name="retry after fault", kind="event", slo=None, interval=None, threshold=5, unit="s", samples=3
)
STARTUP_P90 = replace(GATE, name="startup p90", interval=(0.9, 1.1), threshold=2, unit="s", samples=50)
CALM = replace(
    GATE,
    name="never",
    kind="invariant",
    slo=None,
    value=0.0,
    interval=None,
    threshold=0,
    unit="count",
    samples=50,
)
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
STARTUP = ParityMetric("startup", "sessions", "median(startup_s)", 0.15)
STALLED = ParityMetric("stalled", "sessions", "sum(stall_s)", 0.02, unit="ratio", relative=False)


def pair(live: ExperimentResult, sim: ExperimentResult = RESULT) -> ExperimentParity:
    return ExperimentParity(sim, live, tuple(compare_results(sim, live)))


def only(gate: GateResult, live: GateResult) -> Comparison:
    (_, found) = compare_results(replace(RESULT, gates=(gate,)), replace(RESULT, gates=(live,)))
    return found


@pytest.mark.parametrize(
    ("gate", "live", "outcome"),
    [
        (GATE, 0.98, Outcome.WITHIN),
        (GATE, 0.979, Outcome.OUTSIDE),
        (EVENT, 1.2, Outcome.WITHIN),
        (EVENT, 0.79, Outcome.OUTSIDE),
        (EVENT, None, Outcome.OUTSIDE),
        (STARTUP_P90, 1.15, Outcome.WITHIN),
        (STARTUP_P90, 1.16, Outcome.OUTSIDE),
    ],
)
def test_a_gates_value_has_the_threshold_of_its_kind(
    gate: GateResult, live: float | None, outcome: Outcome
) -> None:
    assert only(gate, replace(gate, value=live)).outcome is outcome


def test_milliseconds_do_not_matter() -> None:
    assert only(replace(EVENT, value=0.002), replace(EVENT, value=0.011)).outcome is Outcome.WITHIN
    assert only(replace(EVENT, value=0.002), replace(EVENT, value=0.013)).outcome is Outcome.OUTSIDE


def test_one_row_does_not_matter() -> None:
    few = replace(GATE, samples=20)
    assert only(few, replace(few, value=0.95)).outcome is Outcome.WITHIN
    assert only(few, replace(few, value=0.90)).outcome is Outcome.OUTSIDE


def test_another_verdict_is_outside_however_near_the_value() -> None:
    found = only(GATE, replace(GATE, verdict=Verdict.INCONCLUSIVE))
    assert found.outcome is Outcome.OUTSIDE
    assert found.verdicts == ("passed", "inconclusive")


def test_a_gate_that_one_world_does_not_have_is_outside() -> None:
    for sim, live in (((GATE,), ()), ((), (GATE,))):
        found = pair(replace(RESULT, gates=live), replace(RESULT, gates=sim))
        assert [one.outcome for one in found.comparisons] == [Outcome.WITHIN, Outcome.OUTSIDE]
        assert not found.agree


def test_invariants_are_one_line_unless_they_differ() -> None:
    both = replace(RESULT, gates=(CALM, replace(CALM, name="nor this")))
    assert [one.name for one in pair(both, both).comparisons] == ["verdict", "2 invariants"]
    broken = replace(both, gates=(replace(CALM, verdict=Verdict.FAILED, value=1.0), both.gates[1]))
    assert [one.name for one in pair(broken, both).outside] == ["never"]


def test_arms_are_compared_by_their_verdicts() -> None:
    arm = ArmResult(
        name="without retry",
        without=("retry",),
        must="breach",
        verdict=Verdict.PASSED,
        reason="it did",
        history_sha256="",
        gates=(),
        faults=(),
    )
    sim = replace(RESULT, arms=(arm,))
    live = replace(RESULT, arms=(replace(arm, verdict=Verdict.FAILED),))
    assert [one.name for one in pair(live, sim).outside] == ["arm without retry"]


def measure(sim: float | None, live: float | None, quantity: ParityMetric = STARTUP) -> Comparison:
    measured = {quantity.name: (Measurement(sim, 9), Measurement(live, 9))}
    return tuple(compare_results(RESULT, RESULT, (quantity,), measured))[-1]


@pytest.mark.parametrize(
    ("quantity", "sim", "live", "outcome"),
    [
        (STARTUP, 1.0, 1.15, Outcome.WITHIN),
        (STARTUP, 1.0, 1.151, Outcome.OUTSIDE),
        (STARTUP, 1.0, 0.84, Outcome.OUTSIDE),
        (STARTUP, None, 1.0, Outcome.OUTSIDE),
        (STARTUP, None, None, Outcome.NOT_COMPARED),
        (STALLED, 0.0, 0.02, Outcome.WITHIN),
        (STALLED, 0.5, 0.521, Outcome.OUTSIDE),
    ],
)
def test_what_a_system_declares_has_the_threshold_that_it_says(
    quantity: ParityMetric, sim: float | None, live: float | None, outcome: Outcome
) -> None:
    assert measure(sim, live, quantity).outcome is outcome


def test_how_far_apart_is_said_in_the_units_of_the_threshold() -> None:
    assert measure(1.0, 1.1).difference == "+10%"
    assert measure(0.5, 0.49, STALLED).difference == "-1.0 points"
    found = measure(0.5, 0.49, STALLED)
    assert found.threshold is not None
    assert found.threshold.text(found.unit) == "2 points"


@pytest.mark.parametrize(
    ("live", "verdict", "code"),
    [
        (RESULT, Verdict.PASSED, 0),
        (replace(RESULT, gates=(replace(GATE, value=0.9),)), Verdict.FAILED, 1),
        (replace(RESULT, verdict=Verdict.ERROR), Verdict.ERROR, 3),
        (replace(RESULT, verdict=Verdict.INTERRUPTED), Verdict.INTERRUPTED, 130),
    ],
)
def test_the_verdict_on_a_pair(live: ExperimentResult, verdict: Verdict, code: int) -> None:
    assert pair(live).verdict is verdict
    assert ParityResult(Path("reports"), (pair(live),)).exit_code == code


def test_absence_is_not_agreement() -> None:
    bare = replace(RESULT, gates=())
    assert pair(bare, bare).verdict is Verdict.INCONCLUSIVE
    nothing = replace(GATE, value=None, verdict=Verdict.INCONCLUSIVE)
    empty = replace(RESULT, gates=(nothing,), verdict=Verdict.INCONCLUSIVE)
    assert pair(empty, empty).verdict is Verdict.INCONCLUSIVE


def test_what_cannot_be_computed_is_an_error() -> None:
    found = replace(pair(RESULT), errors=("startup: cannot be computed",))
    assert found.verdict is Verdict.ERROR
    assert summarize(found) == "startup: cannot be computed"


def test_what_is_outside_is_named() -> None:
    assert summarize(pair(replace(RESULT, gates=(replace(GATE, value=0.5),)))) == "outside: visits"
