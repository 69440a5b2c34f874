from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from harness.engine import events
from harness.gates.result import Verdict
from harness.report.reporters.github import MAX_SUMMARY_BYTES, GitHubReporter, make_annotations, make_summary
from tests.report.samples import ERROR, FAILED, INCONCLUSIVE, PASSED


def test_an_annotation_points_at_the_line_of_the_gate() -> None:
    (line,) = make_annotations([FAILED])
    assert line.startswith(
        "::error file=experiments/delivery/edge-appliance-loss.chaos.yaml,line=14,title=FAILED"
    )


def test_what_would_break_a_command_is_escaped() -> None:
    gate = replace(FAILED.gates[0], name="a,b:c", reason="50%\nof\r it")
    (line,) = make_annotations([replace(FAILED, gates=(gate,))])
    assert "a%2Cb%3Ac" in line
    assert "50%25%0Aof%0D it" in line
    assert "\n" not in line


def test_ten_at_most_worst_first_and_the_last_says_how_many_more() -> None:
    lines = make_annotations([INCONCLUSIVE] * 8 + [FAILED, ERROR])
    assert len(lines) == 10
    assert lines[0].startswith("::error file=experiments/control/identity-down")
    assert lines[1].startswith("::error file=experiments/delivery/edge-appliance-loss")
    assert lines[-1] == "::warning title=harness::9 more have not passed: see the report"


def test_nothing_to_say_about_a_passed_suite() -> None:
    assert make_annotations([PASSED]) == []


def test_the_summary_never_reaches_the_limit() -> None:
    gate = replace(FAILED.gates[0], reason="x" * 40_000)
    results = tuple(replace(FAILED, gates=(gate,)) for _ in range(60))
    text = make_summary(events.SuiteFinished(results, Verdict.FAILED, 1, 1.0, ""))
    assert len(text.encode()) <= MAX_SUMMARY_BYTES
    assert "sections left out" in text


def test_the_reporter_appends_to_the_step_summary(tmp_path: Path) -> None:
    target = tmp_path / "summary.md"
    target.write_text("before\n")
    out = io.StringIO()
    report = GitHubReporter(stream=out, environment={"GITHUB_STEP_SUMMARY": str(target)})
    report(events.RunFinished(FAILED, 1.0))
    report(events.SuiteFinished((FAILED,), Verdict.FAILED, 1, 1.0, ""))
    assert out.getvalue().count("::error") == 1
    assert target.read_text().startswith("before\n## ✗ FAILED, exit code 1")


def test_the_file_is_named_from_the_root_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "services" / "video"
    (tmp_path / ".git").mkdir()
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    (line,) = make_annotations([FAILED])
    assert line.startswith(f"::error file=services/video/{FAILED.file},line=14,")


def test_an_arm_is_annotated_at_its_own_line() -> None:
    arm = replace(PASSED.arms[0], verdict=Verdict.FAILED, line=21)
    (line,) = make_annotations([replace(PASSED, verdict=Verdict.FAILED, arms=(arm,))])
    assert ",line=21,title=FAILED edge-appliance-loss%3A arm without player.failover" in line
