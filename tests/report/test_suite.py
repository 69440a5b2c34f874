"""Reading a suite's results back, and the facts that its index states."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.engine.events import SuiteFinished, SuiteStarted
from harness.gates.result import EXIT_CODES
from harness.report.registry import open_reporters
from harness.report.suite import recorded_results, suite_facts
from harness.verdict.document import suite_document
from tests.report.samples import FAILED, PASSED
from tests.report.support import SAMPLE_ENVIRONMENT


def test_recorded_results_come_by_name(tmp_path: Path) -> None:
    for result in (replace(PASSED, name="b"), replace(FAILED, name="a")):
        run = tmp_path / f"{result.name}.seed7"
        run.mkdir()
        document = suite_document([result], result.verdict, EXIT_CODES[result.verdict])
        (run / "verdict.json").write_text(json.dumps(document), encoding="utf-8")
    (tmp_path / ".c.partial").mkdir()
    (tmp_path / ".c.partial" / "verdict.json").write_text("{}", encoding="utf-8")
    assert [result.name for result in recorded_results(tmp_path)] == ["a", "b"]


def test_a_suite_that_is_over_gets_its_index_and_junit(tmp_path: Path) -> None:
    with open_reporters(defaults=["html", "junit"]) as reporters:
        for handler in reporters.handlers:
            handler(SuiteStarted(("a",), (7,), 1, str(tmp_path)))
        assert not list(tmp_path.iterdir())
        for handler in reporters.handlers:
            handler(SuiteFinished((PASSED,), PASSED.verdict, 0, 1.5, str(tmp_path)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", "junit.xml"]


def test_the_index_says_when_how_long_and_by_which_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/harness/__main__.py", "run", "my experiments"])
    run = tmp_path / "a.seed7"
    run.mkdir()
    (run / "environment.json").write_text(SAMPLE_ENVIRONMENT.model_dump_json(), "utf-8")
    about = dict(suite_facts([replace(PASSED, run=str(run))], 83.2))
    assert about["took"] == "83.2 s"
    assert about["command"] == "harness run 'my experiments'"
    assert about["versions"] == "python 3.13.0, aiohttp 3.14"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", about["ended"])
    with open_reporters(defaults=["html"]) as reporters:
        reporters.handlers[0](SuiteFinished((PASSED,), PASSED.verdict, 0, 83.2, str(tmp_path)))
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<dt>took</dt><dd>83.2 s</dd>" in page
    assert '<span class="whole">60 s to 120 s</span>' in page
