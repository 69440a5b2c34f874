from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from harness.engine import events
from harness.gates.result import Verdict
from harness.report.reporters.terminal import TerminalReporter
from harness.report.results_table import draws_bars
from harness.verdict.model import ExperimentResult
from tests.report.samples import ERROR, FAILED, INCONCLUSIVE, PASSED
from tests.report.support import check_snapshot


def render(results: tuple[ExperimentResult, ...], verdict: Verdict, code: int, width: int = 100) -> str:
    out = io.StringIO()
    report = TerminalReporter(console=Console(file=out, width=width), bars=False)
    report(events.SuiteStarted(tuple(r.name for r in results), (7,), 2, "reports"))
    for result in results:
        report(events.RunFinished(result, 3.21))
    report(events.SuiteFinished(results, verdict, code, 10.2, "reports/20261121T071758Z"))
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "results", "verdict", "code"),
    [
        ("passed", (PASSED,), Verdict.PASSED, 0),
        ("failed", (PASSED, FAILED), Verdict.FAILED, 1),
        ("mixed", (PASSED, FAILED, INCONCLUSIVE, ERROR), Verdict.ERROR, 3),
    ],
)
def test_the_whole_output(
    name: str, results: tuple[ExperimentResult, ...], verdict: Verdict, code: int
) -> None:
    check_snapshot(f"terminal-{name}.txt", render(results, verdict, code))


def test_all_but_commands_and_paths_fits_the_width() -> None:
    long = replace(FAILED, reason="because " * 60, gates=(replace(FAILED.gates[0], name="gate " * 40),))
    for line in render((long, INCONCLUSIVE), Verdict.FAILED, 1).splitlines():
        assert len(line) <= 100 or "replay" in line or " at " in line, line


def test_a_replay_command_stays_on_one_line() -> None:
    text = render((FAILED,), Verdict.FAILED, 1, width=80)
    assert f"replay       {FAILED.replay}\n" in text


def test_the_last_line_says_the_verdict_and_the_exit_code() -> None:
    last = render((PASSED, FAILED), Verdict.FAILED, 1).splitlines()[-1]
    assert last == "✗ FAILED  1 passed, 1 failed, in 10.2 s, exit code 1"


def test_notes_of_a_run_are_told_whatever_its_verdict() -> None:
    note = "3 of 365 clients were still active at the end of the drain and were cancelled"
    for result in (PASSED, FAILED):
        text = render((replace(result, notes=(note,)),), result.verdict, 0)
        assert "· note" in text
        assert note in " ".join(text.split())


def test_a_single_run_is_named_for_those_who_judge_or_replay_it() -> None:
    assert f"Run:    {PASSED.run}" in render((PASSED,), Verdict.PASSED, 0)
    assert "Runs:   reports/NAME.seedN" in render((PASSED, FAILED), Verdict.FAILED, 1)


def test_a_gate_that_holds_in_an_arm_that_must_breach_is_not_called_passed() -> None:
    (arm,) = PASSED.arms
    held = replace(arm.gates[0], name="on", verdict=Verdict.PASSED)
    text = render((replace(PASSED, arms=(replace(arm, gates=(*arm.gates, held)),)),), Verdict.PASSED, 0)
    assert "without player.failover: on held " in text


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def test_plain_progress_is_one_line_in_ten_seconds() -> None:
    out, now = io.StringIO(), Hand()
    report = TerminalReporter(console=Console(file=out, width=100), bars=False, now=now)
    report(events.RunStarted("slow", 1, ("fault",), 60.0))
    report(events.FaultChanged("slow", 1, "fault", "crash", "applied", 5.0, ("a",)))
    for second in range(25):
        now.s = float(second)
        report(events.Progress("slow", 1, "fault", float(second), 60.0, 12))
    assert out.getvalue() == (
        "  slow: fault, 10/60 s, 12 clients, fault: crash\n  slow: fault, 20/60 s, 12 clients, fault: crash\n"
    )


def test_bars_show_time_clients_and_faults_and_go_away() -> None:
    out, now = io.StringIO(), Hand()
    console = Console(file=out, width=100, force_terminal=True, color_system=None)
    report = TerminalReporter(console=console, bars=True, now=now)
    report(events.SuiteStarted(("slow",), (1,), 1, "reports"))
    report(events.RunStarted("slow", 1, ("fault",), 60.0))
    report(events.Progress("slow", 1, "fault", 1.0, 60.0, 3))
    now.s = 3.0
    report(events.FaultChanged("slow", 1, "fault", "crash", "applied", 5.0, ("a",)))
    report(events.Progress("slow", 1, "fault", 30.0, 60.0, 12))
    report(events.SuiteFinished((), Verdict.PASSED, 0, 1.0, ""))
    report.close()
    assert "fault, 30/60 s, 12 clients, fault: crash" in out.getvalue()
    assert "1/60 s" not in out.getvalue().replace("0/60 s", "")


@pytest.mark.parametrize(
    ("terminal", "environment", "expected"),
    [(True, {}, True), (False, {}, False), (True, {"NO_COLOR": "1"}, False), (True, {"CI": "true"}, False)],
)
def test_bars_only_for_people(terminal: bool, environment: dict[str, str], expected: bool) -> None:
    assert draws_bars(Console(file=io.StringIO(), force_terminal=terminal), environment) is expected


def test_arms_that_go_on_at_the_same_time_are_told_apart() -> None:
    out, now = io.StringIO(), Hand()
    report = TerminalReporter(console=Console(file=out, width=100), bars=False, now=now)
    report(events.RunStarted("slow", 1, ("main", "without a"), 60.0))
    report(events.FaultChanged("slow", 1, "main", "crash", "applied", 5.0, ("a",)))
    now.s = 10.0
    report(events.Progress("slow", 1, "main", 20.0, 60.0, 1))
    report(events.Progress("slow", 1, "without a", 4.0, 60.0, 2))
    assert out.getvalue() == (
        "  slow: main, 20/60 s, 1 client, fault: crash\n  slow: without a, 4/60 s, 2 clients\n"
    )


def test_the_bar_of_an_arm_that_is_over_goes_away() -> None:
    out, now = io.StringIO(), Hand()
    console = Console(file=out, width=100, force_terminal=True, color_system=None)
    report = TerminalReporter(console=console, bars=True, now=now)
    report(events.SuiteStarted(("slow",), (1,), 2, "reports"))
    report(events.RunStarted("slow", 1, ("main", "without a"), 60.0))
    now.s = 3.0
    report(events.Progress("slow", 1, "main", 59.0, 60.0, 1))
    report(events.Progress("slow", 1, "without a", 4.0, 60.0, 2))
    now.s = 20.0
    report(events.Progress("slow", 1, "without a", 40.0, 60.0, 2))
    out.truncate(0)
    out.seek(0)
    report(events.Progress("slow", 1, "without a", 41.0, 60.0, 2))
    report.close()
    assert "without a, 41/60 s" in out.getvalue()
    assert "main" not in out.getvalue()


def test_invariants_that_hold_are_one_line() -> None:
    calm = replace(PASSED.gates[0], kind="invariant", name="calm", samples=10)
    broken = replace(calm, name="broken", verdict=Verdict.FAILED)
    result = replace(PASSED, gates=(calm, broken, replace(calm, name="calmer")), arms=())
    lines = render((result,), Verdict.FAILED, 1).splitlines()
    table = lines[lines.index(next(line for line in lines if "VERDICT" in line)) + 2 :]
    assert table[0].startswith("  ✗ FAILED       broken ")
    assert table[1].startswith("  ✓ PASSED       2 invariants, never violated ")
    assert table[1].split()[-2:] == ["20", "-"]
    assert not table[2].startswith("  ")
