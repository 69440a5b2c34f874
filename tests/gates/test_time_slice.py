"""Slices of time, burn rates and amplification: a short loss cannot hide in a long run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.diagnostics import Code
from harness.gates.amplification import AmplificationGate
from harness.gates.base import CheckContext
from harness.gates.judge import judge_gates
from harness.gates.result import GateResult, Verdict
from harness.gates.slo import SloGate
from harness.gates.time_slice import BurnRateGate, TimeSliceGate
from harness.history.read import History
from tests.verdict.support import SLOS, SYSTEM, Visit, history

PASSED, FAILED, INCONCLUSIVE = Verdict.PASSED, Verdict.FAILED, Verdict.INCONCLUSIVE


def steadily(*bad_s: float, silent: tuple[float, float] = (0, 0), end_s: int = 100) -> list[Visit]:
    """Ten visits each second, but for the silent time; all of the seconds `bad_s` fail."""
    return [
        Visit(t_s, "fast", int(t_s) not in bad_s, 0.1)
        for t_s in (tenth / 10 for tenth in range(end_s * 10 + 1))
        if not silent[0] <= t_s < silent[1]
    ]


def one(found: History, gate: Any) -> GateResult:
    (result,) = judge_gates([gate], found, SLOS)
    return result


@pytest.mark.parametrize(
    ("rows", "share", "verdict", "value"),
    [
        (steadily(), "100%", PASSED, 1.0),
        (steadily(*range(40, 45)), "100%", FAILED, 0.9),
        (steadily(*range(40, 45)), "90%", PASSED, 0.9),
        (steadily(40), "100%", PASSED, 1.0),  # 90 % of that slice
        (steadily(silent=(40, 60)), "100%", FAILED, 0.8),  # nothing is no success
    ],
)
def test_time_slices(tmp_path: Path, rows: list[Visit], share: str, verdict: Verdict, value: float) -> None:
    found = history(tmp_path, rows)
    # Over the whole run the SLO of 90 % holds.
    assert one(found, SloGate(slo="success")).verdict is PASSED
    result = one(
        found, TimeSliceGate.model_validate({"time_slice": "success", "length": "10s", "share": share})
    )
    assert (result.verdict, result.value, result.samples) == (verdict, pytest.approx(value), 10)


def test_slices_of_a_percentile_and_of_groups(tmp_path: Path) -> None:
    slow = [Visit(50 + n / 100, "slow", False, 2.0) for n in range(100)]
    found = history(tmp_path, steadily() + slow)
    speed = one(found, TimeSliceGate(time_slice="speed", length="10s"))
    assert (speed.verdict, speed.value) == (FAILED, 0.9)
    # A group that is silent in a slice is not good there.
    groups = one(found, TimeSliceGate(time_slice="success-by-group", length="10s"))
    assert (groups.verdict, groups.value, groups.unknown) == (FAILED, 0.0, 9)


def test_slices_in_the_time_of_the_fault(tmp_path: Path) -> None:
    found = history(tmp_path, steadily(5, 6, 7, 8))
    gate = TimeSliceGate(time_slice="success", length="10s", during="fault")
    assert (one(found, gate).verdict, one(found, gate).samples) == (PASSED, 4)
    assert (
        one(found, TimeSliceGate(time_slice="success", length="50s", during="fault")).verdict is INCONCLUSIVE
    )


@pytest.mark.parametrize(
    ("bad_s", "over", "verdict"),
    [
        ((), "24s", PASSED),
        ((50,), "24s", PASSED),  # 1 of 24 s is bad: 0.4 times what 10 % allow
        (tuple(range(50, 60)), "24s", FAILED),
        (tuple(range(50, 60)), "96s", PASSED),  # the long window hardly notices
        (tuple(range(0, 100, 4)), "24s", FAILED),  # a quarter, all the time
    ],
)
def test_burn_rate(tmp_path: Path, bad_s: tuple[float, ...], over: str, verdict: Verdict) -> None:
    found = history(tmp_path, steadily(*bad_s))
    assert one(found, BurnRateGate(burn_rate="success", threshold=2, over=over)).verdict is verdict


def test_burn_rate_without_rows(tmp_path: Path) -> None:
    result = one(history(tmp_path, []), BurnRateGate(burn_rate="success", threshold=2, over="24s"))
    assert result.verdict is INCONCLUSIVE


@pytest.mark.parametrize(
    ("at_most", "during", "verdict", "value"),
    [
        (1.2, "all", FAILED, 1.5),
        (1.5, "all", PASSED, 1.5),
        (1.2, "before", PASSED, 1.0),
        (1.2, "fault", FAILED, 2.0),
        (1.2, "after", INCONCLUSIVE, None),
    ],
)
def test_amplification(
    tmp_path: Path, at_most: float, during: str, verdict: Verdict, value: float | None
) -> None:
    """Visits of one group stand for what clients cause, those of the other for what is received."""
    caused = [Visit(t_s, "client", True, 0.1) for t_s in range(20, 60)]
    received = [Visit(t_s, "server", True, 0.1) for t_s in [*range(20, 60), *range(40, 60)]]
    rows = {"table": "visits", "where": "\"group\" = 'server'"}
    gate = AmplificationGate.model_validate(
        {
            "amplification": rows,
            "per": rows | {"where": "\"group\" = 'client'"},
            "at_most": at_most,
            "during": during,
        }
    )
    result = one(history(tmp_path, caused + received), gate)
    assert (result.verdict, result.value) == (verdict, value)


@pytest.mark.parametrize(
    ("gate", "code", "path"),
    [
        (TimeSliceGate(time_slice="sucess", length="10s"), Code.UNKNOWN_NAME, ("time_slice",)),
        (TimeSliceGate(time_slice="success", length="10ms"), Code.OUT_OF_RANGE, ("length",)),
        (BurnRateGate(burn_rate="speed", threshold=2, over="60s"), Code.CONFLICT, ("burn_rate",)),
        (
            BurnRateGate(burn_rate="success", threshold=2, over="6s", short="8s"),
            Code.OUT_OF_RANGE,
            ("short",),
        ),
        (BurnRateGate(burn_rate="success", threshold=2, over="1s"), Code.OUT_OF_RANGE, ("over",)),
    ],
)
def test_what_does_not_fit_is_reported(gate: Any, code: Code, path: tuple[str, ...]) -> None:
    (found,) = gate.check(CheckContext(SYSTEM, SLOS, 80.0, 120.0, 40.0))
    assert (found.code, found.path) == (code, path)
