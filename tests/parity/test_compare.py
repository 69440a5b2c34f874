"""How far apart two runs are: what is compared, with which aim, and what is said when it is not met."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.gates.result import GateResult, Verdict
from harness.parity.compare import Comparison, Measured, Outcome, Pair, compare, worst_line
from harness.parity.distance import LEAST_ROWS, distribution, ks_distance, wasserstein
from harness.system import ParityMetric
from harness.verdict.model import ArmResult, ExperimentResult

values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30).map(sorted)


@settings(deadline=None)
@given(values, values)
def test_the_ks_distance_is_one(a: list[float], b: list[float]) -> None:
    """Symmetric, between 0 and 1, 0 for the same sample; and what its definition says, by counting."""
    found = ks_distance(a, b)
    assert 0 <= found <= 1
    assert found == ks_distance(b, a)
    assert ks_distance(a, a) == 0
    below = [
        abs(sum(x <= value for x in a) / len(a) - sum(x <= value for x in b) / len(b)) for value in a + b
    ]
    assert found == pytest.approx(max(below))


def test_samples_without_overlap_are_as_far_apart_as_can_be() -> None:
    assert ks_distance([1.0, 2.0], [3.0]) == 1


@settings(deadline=None)
@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=6), st.data())
def test_the_shift_is_what_moving_the_rows_costs(a: list[int], data: st.DataObject) -> None:
    """Of samples of one size: the cheapest way to pair them, found by trying all."""
    b = data.draw(st.lists(st.integers(-1000, 1000), min_size=len(a), max_size=len(a)))
    cheapest = min(
        sum(abs(x - y) for x, y in zip(a, order, strict=True)) for order in itertools.permutations(b)
    )
    assert wasserstein(sorted(a), sorted(b)) == pytest.approx(cheapest / len(a))


def test_a_shifted_sample_is_shifted_by_as_much() -> None:
    assert wasserstein([1.0, 2.0, 5.0], [1.25, 2.25, 5.25]) == pytest.approx(0.25)


def test_few_rows_are_no_distribution() -> None:
    many, few = [1.0] * LEAST_ROWS, [1.0] * (LEAST_ROWS - 1)
    assert distribution("t", "c", many, few) is None
    found = distribution("t", "c", many, [2.0] * LEAST_ROWS)
    assert found is not None
    assert (found.sim.p50, found.live.p50, found.distance, found.shift_s) == (1, 2, 1, 1)


def gate_result(
    name: str, value: float, threshold: float, samples: int, unit: str, **more: Any
) -> GateResult:
    return GateResult(
        name=name,
        verdict=Verdict.PASSED,
        reason="good",
        value=value,
        threshold=threshold,
        samples=samples,
        unit=unit,
        **{"interval": None, **more},
    )


GATE = gate_result("visits", 1.0, 0.9, 100, "ratio", interval=(0.9, 1.0))
EVENT = gate_result("retry after fault", 1.0, 5, 3, "s", kind="event")
STARTUP_P90 = gate_result("startup p90", 1.0, 2, 50, "s", interval=(0.9, 1.1))
CALM = gate_result("never", 0.0, 0, 50, "count", kind="invariant")
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


def pair(live: ExperimentResult, sim: ExperimentResult = RESULT) -> Pair:
    return Pair(sim, live, tuple(compare(sim, live)))


def only(gate: GateResult, live: GateResult) -> Comparison:
    (_, found) = compare(replace(RESULT, gates=(gate,)), replace(RESULT, gates=(live,)))
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
def test_a_gates_value_has_the_aim_of_its_kind(
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
    assert found.said == ("passed", "inconclusive")


def test_a_gate_that_one_world_does_not_have_is_outside() -> None:
    for sim, live in (((GATE,), ()), ((), (GATE,))):
        found = pair(replace(RESULT, gates=live), replace(RESULT, gates=sim))
        assert [one.outcome for one in found.comparisons] == [Outcome.WITHIN, Outcome.OUTSIDE]
        assert not found.agree


def test_invariants_are_one_line_unless_they_differ() -> None:
    both = replace(RESULT, gates=(CALM, replace(CALM, name="nor this")))
    assert [one.what for one in pair(both, both).comparisons] == ["verdict", "2 invariants"]
    broken = replace(both, gates=(replace(CALM, verdict=Verdict.FAILED, value=1.0), both.gates[1]))
    assert [one.what for one in pair(broken, both).outside] == ["never"]


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
    assert [one.what for one in pair(live, sim).outside] == ["arm without retry"]


def measure(sim: float | None, live: float | None, quantity: ParityMetric = STARTUP) -> Comparison:
    measured = {quantity.name: (Measured(sim, 9), Measured(live, 9))}
    return tuple(compare(RESULT, RESULT, (quantity,), measured))[-1]


@pytest.mark.parametrize(
    ("quantity", "sim", "live", "outcome"),
    [
        (STARTUP, 1.0, 1.15, Outcome.WITHIN),
        (STARTUP, 1.0, 1.151, Outcome.OUTSIDE),
        (STARTUP, 1.0, 0.84, Outcome.OUTSIDE),
        (STARTUP, None, 1.0, Outcome.OUTSIDE),
        (STARTUP, None, None, Outcome.NOTHING),
        (STALLED, 0.0, 0.02, Outcome.WITHIN),
        (STALLED, 0.5, 0.521, Outcome.OUTSIDE),
    ],
)
def test_what_a_system_declares_has_the_aim_that_it_says(
    quantity: ParityMetric, sim: float | None, live: float | None, outcome: Outcome
) -> None:
    assert measure(sim, live, quantity).outcome is outcome


def test_how_far_apart_is_said_in_the_units_of_the_aim() -> None:
    assert measure(1.0, 1.1).apart == "+10%"
    assert measure(0.5, 0.49, STALLED).apart == "-1.0 points"
    found = measure(0.5, 0.49, STALLED)
    assert found.aim is not None
    assert found.aim.text(found.unit) == "2 points"


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
    assert pair(live).exit_code == code


def test_absence_is_not_agreement() -> None:
    bare = replace(RESULT, gates=())
    assert pair(bare, bare).verdict is Verdict.INCONCLUSIVE
    nothing = replace(GATE, value=None, verdict=Verdict.INCONCLUSIVE)
    empty = replace(RESULT, gates=(nothing,), verdict=Verdict.INCONCLUSIVE)
    assert pair(empty, empty).verdict is Verdict.INCONCLUSIVE


def test_what_cannot_be_computed_is_an_error() -> None:
    found = Pair(RESULT, RESULT, tuple(compare(RESULT, RESULT)), (), ("startup: cannot be computed",))
    assert found.verdict is Verdict.ERROR
    assert worst_line(found) == "startup: cannot be computed"


def test_what_is_outside_is_named() -> None:
    assert worst_line(pair(replace(RESULT, gates=(replace(GATE, value=0.5),)))) == "visits"
