"""Experiments that must not pass: each is built so that only an honest account of the run sees why."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.engine.read import read_experiment
from harness.engine.suite import run
from harness.gates.result import Verdict

CASES = Path(__file__).parent / "cases"

EXPECTED = {
    "a02-arm-early": (Verdict.INCONCLUSIVE, "the steady state was not met"),
    "a06-arm-no-fault": (Verdict.INCONCLUSIVE, "there is no fault"),
    "a07-arm-ill-before-the-load-rises": (
        Verdict.INCONCLUSIVE,
        "the steady state was not met before the load rose",
    ),
    "c02-probe-only": (Verdict.INCONCLUSIVE, "no traffic that clients caused"),
    "c05-latency-1us": (Verdict.INCONCLUSIVE, "no traffic noticeably"),
    "c07-bandwidth-wide": (Verdict.INCONCLUSIVE, "no traffic noticeably"),
    "c10-crash-twice": (Verdict.INCONCLUSIVE, "fault crash-2: it affected no traffic noticeably"),
    "c11-pause-dead": (Verdict.INCONCLUSIVE, "fault pause: it affected no traffic noticeably"),
    "g03-where-null": (Verdict.FAILED, "unknown, counted as bad"),
    "g04-zero-div-good": (Verdict.FAILED, "unknown, counted as bad"),
    "g20-group-silent": (Verdict.INCONCLUSIVE, "by-group[slow]: no samples"),
    "g22-fault-after-load": (Verdict.INCONCLUSIVE, "all samples are from before the first fault"),
    "g13-event-other-node": (Verdict.INCONCLUSIVE, "no traffic of clients"),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_case(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(CASES)
    result = run(read_experiment(CASES / f"{name}.chaos.yaml"), reports=tmp_path)
    verdict, reason = EXPECTED[name]
    assert result.verdict is verdict
    assert reason in result.reason
