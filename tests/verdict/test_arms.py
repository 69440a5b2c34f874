from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.experiment.model import Arm
from harness.faults.exposure import Exposure
from harness.gates.recovered import RecoveredGate
from harness.gates.result import Verdict
from harness.gates.slo import SloGate
from harness.history.metadata import RunMetadata
from harness.verdict.arms import gates_of
from harness.verdict.model import ArmResult, ExperimentResult
from harness.verdict.recorded import RecordedArm
from tests.verdict.support import (
    CRASH,
    METADATA,
    Arrival,
    Visit,
    by_clients,
    experiment,
    history,
    steady,
    verdict_of,
    visits,
)

BREACH = Arm(without="shop.failover", slo="success")
HOLD = Arm(without=("shop.failover", "shop.cache"), must="hold", slo="success")
GOOD = [*steady(), *visits(50, 400)]
BAD = [*steady(), *visits(50, 100, 300)]
FEW = [*visits(10, 8, 1), *visits(50, 8, 1)]


def run(
    tmp_path: Path,
    arm: Arm,
    without: list[Visit],
    main: list[Visit] = GOOD,
    metadata: RunMetadata = METADATA,
    gate: SloGate | RecoveredGate | None = None,
) -> tuple[ExperimentResult, ArmResult]:
    judged = RecordedArm(arm, history(tmp_path, without, metadata=metadata, arm="without it"))
    stated = experiment(gate or SloGate(slo="success"), arms=(arm,))
    result = verdict_of(stated, history(tmp_path, main), [judged])
    return result, result.arms[0]


@pytest.mark.parametrize(
    ("arm", "without", "verdict", "said"),
    [
        (BREACH, BAD, Verdict.PASSED, "without shop.failover, success is breached (expected)"),
        (BREACH, GOOD, Verdict.FAILED, "safeguard shop.failover shows no effect"),
        (BREACH, FEW, Verdict.INCONCLUSIVE, "whether success is breached is undecided"),
        (BREACH, [], Verdict.INCONCLUSIVE, "no samples"),
        (HOLD, GOOD, Verdict.PASSED, "without shop.failover, shop.cache, success holds (expected)"),
        (HOLD, BAD, Verdict.FAILED, "success must hold, but success: 40.00% "),
        (HOLD, FEW, Verdict.INCONCLUSIVE, "whether success holds is undecided"),
    ],
)
def test_arms(tmp_path: Path, arm: Arm, without: list[Visit], verdict: Verdict, said: str) -> None:
    result, judged = run(tmp_path, arm, without)
    assert judged.verdict is verdict
    assert said in judged.reason
    assert result.verdict is verdict
    if verdict is not Verdict.PASSED:
        assert result.reason == judged.reason
    assert judged.without == arm.safeguards


def test_a_breach_under_a_fault_that_touched_nothing_shows_nothing(tmp_path: Path) -> None:
    metadata = replace(METADATA, faults=(replace(CRASH, exposure=Exposure()),))
    _, judged = run(tmp_path, BREACH, BAD, metadata=metadata)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "affected no traffic" in judged.reason


@pytest.mark.parametrize(
    "metadata",
    [
        replace(METADATA, failures=("backend ended",)),
        replace(METADATA, faults=(replace(CRASH, error="no such node"),)),
    ],
)
def test_a_broken_arm_is_an_error(tmp_path: Path, metadata: RunMetadata) -> None:
    result, judged = run(tmp_path, BREACH, BAD, metadata=metadata)
    assert judged.verdict is Verdict.ERROR
    assert result.verdict is Verdict.ERROR


def test_a_breach_that_the_safeguard_does_not_prevent_shows_nothing(tmp_path: Path) -> None:
    result, judged = run(tmp_path, BREACH, BAD, main=BAD)
    assert judged.verdict is Verdict.FAILED
    assert "breached with it too" in judged.reason
    assert result.verdict is Verdict.FAILED


def test_without_the_safeguard_in_the_main_run_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    judged = RecordedArm(BREACH, history(tmp_path, BAD, arm="without it"))
    main = history(tmp_path, BAD, metadata=replace(METADATA, without=("shop.failover",)))
    result = verdict_of(experiment(SloGate(slo="success"), arms=(BREACH,)), main, [judged])
    assert result.arms[0].verdict is Verdict.INCONCLUSIVE
    assert "nothing to compare with" in result.arms[0].reason
    assert result.verdict is Verdict.FAILED


def test_an_slo_without_a_gate_is_compared_with_the_main_run_too(tmp_path: Path) -> None:
    slow = [*steady(), *visits(50, 400, latency_s=3.0)]
    arm = Arm(without="shop.failover", slo="speed")
    result, judged = run(tmp_path, arm, slow, main=slow)
    assert result.gates[0].verdict is Verdict.PASSED
    assert judged.verdict is Verdict.FAILED
    assert result.verdict is Verdict.FAILED


def test_the_gate_of_the_experiment_is_what_must_breach(tmp_path: Path) -> None:
    # Breached during the fault, but the experiment only asks for recovery.
    recovered = RecoveredGate(recovered="success", within="5s")
    _, judged = run(
        tmp_path, BREACH, [*BAD, *visits(90, 400)], main=[*GOOD, *visits(90, 400)], gate=recovered
    )
    assert judged.verdict is Verdict.FAILED
    assert [gate.kind for gate in judged.gates] == ["recovered"]


def test_the_where_of_an_arm_narrows() -> None:
    narrow = Arm(without="x", slo="success", where="t_s > 50")
    gate = SloGate(slo="success", where="ok", target="50%")
    narrowed = gate.model_copy(update={"where": "(ok\n) and (t_s > 50\n)"})
    assert gates_of(narrow, experiment(gate)) == [narrowed]
    assert gates_of(narrow, experiment(SloGate(slo="speed"))) == [SloGate(slo="success", where="t_s > 50")]


def test_an_arm_that_was_not_run(tmp_path: Path) -> None:
    result = verdict_of(experiment(SloGate(slo="success"), arms=(BREACH,)), history(tmp_path, GOOD))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.reason == "1 of 1 arms were not run"


def clients(rows: list[Visit]) -> tuple[list[tuple[str, Visit]], list[Arrival]]:
    """Each visit is that of a client which arrived a second before."""
    named = [(f"c{index}", row) for index, row in enumerate(rows)]
    return named, [Arrival(name, row.t_s - 1, row.t_s) for name, row in named]


AFTER = [*steady(), *visits(50, 400), *visits(95, 0, 200)]
"""Something else breaks 15 s after the fault."""
UNDER_WAY = [*steady(), *visits(50, 300), *visits(80.2, 0, 75)]
"""What was under way at the end of the fault fails after it."""


@pytest.mark.parametrize(
    ("without", "main", "verdict"),
    [
        (AFTER, GOOD, Verdict.FAILED),
        (UNDER_WAY, GOOD, Verdict.PASSED),
        (BAD, GOOD, Verdict.PASSED),
        ([*steady(), *visits(50, 106, 34)], [*steady(), *visits(50, 115, 25)], Verdict.INCONCLUSIVE),
    ],
)
def test_a_breach_is_compared_in_the_window_of_the_faults(
    tmp_path: Path, without: list[Visit], main: list[Visit], verdict: Verdict
) -> None:
    judged = RecordedArm(BREACH, by_clients(tmp_path, *clients(without), arm="without it"))
    stated = experiment(SloGate(slo="success"), arms=(BREACH,))
    result = verdict_of(stated, by_clients(tmp_path, *clients(main)), [judged])
    arm = result.arms[0]
    assert arm.verdict is not Verdict.PASSED or "p = " in arm.reason
    assert arm.verdict is verdict, arm.reason


@pytest.mark.parametrize(
    ("consulted_s", "verdict"),
    [
        ({"shop.failover": -1.0, "shop.cache": 50.0}, Verdict.PASSED),
        ({"shop.failover": -1.0, "shop.cache": 81.0}, Verdict.INCONCLUSIVE),
        ({"shop.failover": -1.0}, Verdict.INCONCLUSIVE),
        ({}, Verdict.INCONCLUSIVE),
        (None, Verdict.PASSED),
    ],
)
def test_a_safeguard_that_no_code_consults_proves_nothing(
    tmp_path: Path, consulted_s: dict[str, float] | None, verdict: Verdict
) -> None:
    metadata = replace(METADATA, consulted_s=consulted_s)
    main = history(tmp_path, GOOD, metadata=metadata)
    arm = RecordedArm(HOLD, history(tmp_path, GOOD, metadata=metadata, arm="without it"))
    result = verdict_of(experiment(SloGate(slo="success"), arms=(HOLD,)), main, [arm])
    assert result.verdict is verdict
    if verdict is Verdict.INCONCLUSIVE:
        assert "shop.cache was never consulted" in result.arms[0].reason
