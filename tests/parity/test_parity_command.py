"""`harness parity`: one tiny experiment both ways, its table, its files and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli.main import invoke
from harness.live.run_lock import STATE_VARIABLE

pytestmark = pytest.mark.live

SLOS = """
visits:
  protects: people get their offers
  table: visits
  good: ok
  target: 80%
"""

EXPERIMENT = """
experiment: backend-killed
title: Nobody notices that a backend is killed
system: tests.support.toy_system:system
load:
  shoppers: {arrive: 4/s, for: 7s, mix: brief}
drain: 4s
timeline:
  - {at: 5s, for: 1s, fault: crash, target: {node: backend-east}}
gates:
  - {slo: visits}
  - {event: gateway.retry, within: 2s, of: fault}
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    (tmp_path / "slos.yaml").write_text(SLOS)
    (tmp_path / "killed.chaos.yaml").write_text(EXPERIMENT)
    return tmp_path


def test_both_ways(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports = directory / "reports"
    code = invoke(
        ["parity", str(directory / "killed.chaos.yaml"), "--reports", str(reports), "--jobs", "1", "--json"]
    )
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert "experiments" in found, found
    (experiment,) = found["experiments"]
    assert found["agree"], experiment["comparisons"]
    assert found["exit_code"] == code
    # Whether a busy machine keeps within the thresholds is not this test's question; whether it says so, is.
    outside = [one["name"] for one in experiment["comparisons"] if one["outcome"] == "outside"]
    assert code == (1 if outside else 0)
    assert [one["name"] for one in experiment["comparisons"]][:3] == [
        "verdict",
        "visits",
        "gateway.retry after fault",
    ]
    (latency,) = [each for each in experiment["distributions"] if each["column"] == "latency_s"]
    assert latency["sim"]["rows"] > 20
    assert 0 < latency["distance"] <= 1
    assert {experiment["sim"]["verdict"], experiment["live"]["verdict"]} == {"passed"}

    (written,) = reports.glob("parity-*/parity.json")
    assert json.loads(written.read_text()) == found
    page = (written.parent / "parity.html").read_text()
    assert "gateway.retry after fault" in page
    for half in ("live", "sim"):
        (report,) = written.parent.glob(f"{half}/2*/backend-killed.seed1/report.html")
        assert str(report.relative_to(written.parent)) in page
    # A person sees the table; with --json it goes to stderr.
    assert "VIRTUAL TIME" in printed.err
    assert "visits.latency_s, p50 / p90" in printed.err


def test_what_cannot_run_live_is_refused_and_leaves_nothing(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = directory / "killed.chaos.yaml"
    file.write_text(EXPERIMENT.replace("target: {node: backend-east}", "target: {node: backend-north}"))
    assert invoke(["parity", str(file), "--reports", str(directory / "reports")]) == 4
    assert "backend-north" in capsys.readouterr().err
    assert not (directory / "reports").exists()
