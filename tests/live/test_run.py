"""The whole way, live: a file on the command line to a verdict and an exit code, and a clean machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import invoke
from harness.engine.judge import rejudge
from harness.faults.primitives import Capability
from harness.live.run_lock import STATE_VARIABLE
from tests.live.support import remains

pytestmark = pytest.mark.live

SLOS = """
visits:
  protects: people get their offers
  table: visits
  good: ok
  target: 90%
"""

EXPERIMENT = """
experiment: backend-killed
title: Nobody notices that a backend is killed
system: tests.support.toy_system:system
load:
  shoppers: {arrive: 4/s, for: 8s, mix: brief}
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


def ran(directory: Path, *more: str) -> list[str]:
    file = str(directory / "killed.chaos.yaml")
    return ["run", file, "--runtime", "live", "--reports", str(directory / "reports"), *more]


def clean(directory: Path) -> bool:
    return not remains(directory / "state")


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_a_live_run(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(ran(directory, "--json")) == 0
    (result,) = document(capsys)["experiments"]
    assert result["verdict"] == "passed"
    (fault,) = result["faults"]
    assert fault["exposure"]["connects_blocked"] > 0
    assert 5 <= fault["applied_at_s"] < 5.5
    (run,) = (directory / "reports" / "latest").glob("*.seed1")
    assert json.loads((run / "environment.json").read_text())["runtime"] == "live"
    assert clean(directory)
    assert invoke(["judge", str(run)]) == 0
    assert rejudge(run).differences == ()
    assert invoke(["replay", str(run)]) == 4
    assert result["replay"].endswith("--runtime live --seed 1")


def test_what_cannot_be_done_live_is_refused_before_anything_starts(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = directory / "killed.chaos.yaml"
    file.write_text(EXPERIMENT.replace("crash,", "loss, rate: 1%,"))
    assert invoke(ran(directory)) == 4
    said = capsys.readouterr().err
    assert "--network kernel" in said
    assert not (directory / "state").exists()
    assert not (directory / "reports" / "latest").exists()


def test_an_unknown_runtime(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ran(directory)
    arguments[arguments.index("live")] = "alive"
    assert invoke(arguments) == 4
    assert "--runtime alive: " in capsys.readouterr().err


def test_a_system_that_does_not_come_up(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An error that says which node, why, and what it printed; and nothing is left."""
    file = directory / "killed.chaos.yaml"
    file.write_text(EXPERIMENT.replace("toy_system:system", "broken_system:system"))
    assert invoke(ran(directory, "--json")) == 3
    (result,) = document(capsys)["experiments"]
    assert result["verdict"] == "error"
    assert "backend-east: ValueError: no such shelf" in result["reason"]
    assert clean(directory)


@pytest.mark.parametrize(("limits", "code"), [("-Sn 64", 0), ("-n 200", 3)], ids=["soft", "hard"])
def test_few_open_files_are_raised_or_refused(directory: Path, limits: str, code: int) -> None:
    """Before anything starts, and not by connections that fail in the middle of a run."""
    short = (
        EXPERIMENT.partition("timeline:")[0].replace("4/s, for: 8s", "20/s, for: 2s")
        + "gates: [{slo: visits}]\n"
    )
    (directory / "killed.chaos.yaml").write_text(short)
    words = " ".join([sys.executable, "-m", "harness", *ran(directory, "--json")])
    done = subprocess.run(
        ["sh", "-c", f"ulimit {limits} && exec {words}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    (result,) = json.loads(done.stdout)["experiments"]
    if code:
        assert "LiveUnavailable: " in result["reason"]
        assert " 200 " in result["reason"]
        assert not (directory / "state").exists()
    else:
        assert clean(directory)


def test_doctor_and_cleanup(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["doctor", "--json"]) == 0
    found = document(capsys)
    assert all(finding["ok"] for finding in found["findings"])
    assert "load" in {finding["name"] for finding in found["findings"]}
    assert set(found["capabilities"]) >= set(Capability) - {Capability.CPU_LIMIT, Capability.SHAPE_LOSS}
    assert set(found["networks"]) == {"proxy", "kernel"}
    assert found["networks"]["proxy"] == found["capabilities"]
    assert bool(found["networks"]["kernel"]) == all(item["ok"] for item in found["kernel_findings"])
    assert invoke(["cleanup", "--json"]) == 0
    assert document(capsys)["clean"]
