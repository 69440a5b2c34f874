"""A run that takes too much real time, or does not react to signals, is ended; it is an error that names the place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.engine import experiment as engine
from harness.engine.plan import make_plan
from harness.engine.suite import run_suite
from harness.errors import EXIT_INTERRUPTED
from harness.gates.result import Verdict
from tests.cli.support import call
from tests.engine.support import experiment_text, load

BLOCKING = "tests.support.blocking_system"


def text(name: str, more: str = "") -> str:
    return experiment_text(arms="", load_for="12s").replace(
        "system: tests.support.toy_system:system", f"system: {BLOCKING}:{name}\n{more}".rstrip()
    )


@pytest.mark.parametrize(
    ("name", "function"), [("threaded", "waits_for_a_thread"), ("spinning", "never_waits")]
)
def test_what_blocks_the_loop_is_ended_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, function: str
) -> None:
    monkeypatch.setattr(engine, "SIM_GRACE_S", 0.2)
    loaded = load(tmp_path, text(name, "budget: 2s"))
    (result,) = run_suite(loaded, seeds=[1], jobs=1, reports=tmp_path / "reports").results
    assert result.verdict is Verdict.ERROR
    assert "exceeded its budget of 2 s real time" in result.reason
    assert "blocking_system.py:" in result.reason
    assert f"({function})" in result.reason


def test_what_reacts_to_no_signal_is_ended_with_its_process(tmp_path: Path) -> None:
    """Two arms in two processes: both are ended by force."""
    arms = "- {without: gateway.retry, slo: success}"
    (loaded,) = load(tmp_path, text("stubborn", "budget: 1s") + f"arms:\n  {arms}\n")
    (result,) = run_suite([loaded], seeds=[1], jobs=2, reports=tmp_path / "reports").results
    assert result.verdict is Verdict.ERROR
    assert "ended by force" in result.reason


def test_the_budget_of_the_suite_ends_what_runs_and_begins_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SIM_GRACE_S", 0.2)
    loaded = load(tmp_path, text("threaded"))
    finished = run_suite(loaded, seeds=[1, 2], jobs=1, reports=tmp_path / "reports", suite_budget_s=0.5)
    assert [result.verdict for result in finished.results] == [Verdict.ERROR, Verdict.ERROR]
    assert all("the suite exceeded its budget" in result.reason for result in finished.results)


def test_the_option_is_stronger_than_the_file_and_both_than_the_default(tmp_path: Path) -> None:
    (plain,) = load(tmp_path / "plain", experiment_text())
    (own,) = load(tmp_path / "own", text("threaded", "budget: 30s"))
    assert make_plan(plain, 1).budget_s == make_plan(plain, 1).duration_s + 600
    assert make_plan(own, 1).budget_s == 30
    assert make_plan(own, 1, budget_s=5).budget_s == 5


@pytest.mark.parametrize("option", ["--budget", "--suite-budget"])
@pytest.mark.parametrize("value", ["5", "0s", "soon"])
def test_a_budget_that_is_none(tmp_path: Path, option: str, value: str) -> None:
    load(tmp_path, experiment_text())
    called = call("run", tmp_path, option, value)
    assert called.code == 4
    assert called.err.startswith(option)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_a_run_that_blocks(tmp_path: Path, number: signal.Signals) -> None:
    load(tmp_path, text("threaded"))
    command = [
        sys.executable,
        "-m",
        "harness",
        "run",
        str(tmp_path),
        "--jobs",
        "1",
        "--reports",
        str(tmp_path / "r"),
    ]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        while "it blocks" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(number)
        output = process.stdout.read()
    assert process.returncode == EXIT_INTERRUPTED
    assert "INTERRUPTED" in output
