"""A run is stopped when a condition of `abort_if` is breached, or when a real system is ill before the first fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.diagnostics import Code
from harness.engine import arm
from harness.engine.stop import Look, Snapshot
from harness.engine.suite import run
from harness.errors import ExperimentError
from harness.gates.result import Verdict
from harness.verdict.model import ExperimentResult
from tests.engine.support import experiment_text, load

OUTAGE = """
- {at: 8s, for: 10s, fault: crash, target: {role: gateway}}
- {at: 30s, for: 2s, fault: crash, target: {role: backend, zone: east}}
"""
GATES = "- {slo: success, target: 10%}"


def result_of(
    tmp_path: Path, abort_if: str = "", timeline: str = OUTAGE, gates: str = GATES, load_for: str = "12s"
) -> ExperimentResult:
    text = (
        experiment_text(timeline=timeline, gates=gates, arms="", load_for=load_for, arrive="2/s") + abort_if
    )
    (ready,) = load(tmp_path, text)
    return run(ready, seed=1, reports=tmp_path / "reports")


def test_a_breached_condition_ends_the_run_and_undoes_its_faults(tmp_path: Path) -> None:
    result = result_of(
        tmp_path, "abort_if:\n  - {slo: success, during: fault, target: 50%}\n", load_for="30s"
    )
    assert result.verdict is Verdict.FAILED
    assert result.reason.startswith("aborted at 10.0 s, faults were undone: success during the fault: ")
    outage, later = result.faults
    assert (outage.applied_at_s, later.applied_at_s) == (8.0, None)
    # It would have lasted until 18 s.
    assert outage.undone_at_s is not None
    assert 10 <= outage.undone_at_s < 12
    assert later.verdict is Verdict.INCONCLUSIVE
    assert all(gate.verdict is not Verdict.ERROR for gate in result.gates)


def test_a_condition_that_holds_changes_nothing(tmp_path: Path) -> None:
    free = result_of(tmp_path / "free", timeline="")
    watched = result_of(tmp_path / "watched", "abort_if:\n  - {never: gateway.fallback}\n", timeline="")
    assert free.verdict is watched.verdict is Verdict.PASSED
    assert free.history_sha256 == watched.history_sha256


def test_a_real_system_that_is_ill_before_is_spared_the_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shown in virtual time, which does not stop by itself: there it harms nobody."""
    ill = "- {slo: speed, at_most: 1ms}"
    crash = "- {at: 8s, for: 8s, fault: crash, target: {role: backend, zone: east}}"
    went_on = result_of(tmp_path / "sim", timeline=crash, gates=ill)
    assert (went_on.verdict, went_on.faults[0].applied_at_s) == (Verdict.INCONCLUSIVE, 8.0)

    monkeypatch.setattr(arm, "LIVE", "sim")

    async def at_once(look: Look, snapshot: Snapshot) -> object:
        return look(snapshot)

    monkeypatch.setattr("asyncio.to_thread", at_once)
    stopped = result_of(tmp_path / "live", timeline=crash, gates=ill)
    assert (stopped.verdict, stopped.faults[0].applied_at_s) == (Verdict.INCONCLUSIVE, None)
    assert stopped.reason.startswith(
        "stopped at 7.0 s, before the first fault: the steady state was not met: speed: "
    )


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("{slo: sucess}", Code.UNKNOWN_NAME),
        ("{count: visits, at_least: 5}", Code.CONFLICT),
        ("{event: gateway.retry, within: 5s}", Code.CONFLICT),
        ("{recovered: success, within: 5s}", Code.CONFLICT),
        ("{slo: success, target: 50}", Code.BAD_UNIT),
    ],
)
def test_a_condition_is_a_gate_whose_breach_is_final(tmp_path: Path, condition: str, code: Code) -> None:
    with pytest.raises(ExperimentError) as raised:
        load(tmp_path, experiment_text(arms="") + f"abort_if:\n  - {condition}\n")
    assert [one.code for one in raised.value.diagnostics] == [code]
