"""Reporters by name: built in, registered, as an entry point; and what happens when one raises."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from harness.engine.events import EngineEvent, RunJudged, SuiteFinished
from harness.errors import HarnessError, UsageError
from harness.report import registry
from harness.report.registry import GROUP, find_reporter, open_reporters, reporter_names
from harness.report.reporter import REGISTERED, Reporter, ReporterError, reporter
from tests.cli.support import UNTOUCHED, call, write_suite
from tests.report.gates_csv import GatesCsv
from tests.report.samples import FAILED, PASSED

OVER = SuiteFinished((PASSED, FAILED), FAILED.verdict, 1, 1.0, "reports")


class Loud(Reporter):
    """Raises on everything."""

    def __call__(self, event: EngineEvent) -> None:
        raise OSError("no paper")


class Marks(Reporter):
    """Leaves a file in each run directory."""

    artifacts = True

    def __call__(self, event: EngineEvent) -> None:
        if isinstance(event, RunJudged):
            (event.run.directory / "mark.txt").write_text(event.result.verdict.value, encoding="utf-8")


class BreaksRuns(Marks):
    """Cannot write into run directories."""

    def __call__(self, event: EngineEvent) -> None:
        if isinstance(event, RunJudged):
            raise OSError("disk full")


def report_all(event: SuiteFinished, *selected: str, environment: Mapping[str, str] | None = None) -> None:
    with open_reporters(selected, environment or {}, defaults=()) as reporters:
        for handler in reporters.handlers:
            handler(event)


def rows(file: Path) -> list[list[str]]:
    return list(csv.reader(file.read_text(encoding="utf-8").splitlines()))


def test_the_built_in_ones_have_names_and_descriptions() -> None:
    names = reporter_names()
    assert {"terminal", "progress", "html", "junit", "github", "json"} <= names.keys()
    assert all(names.values())


def test_one_file_of_ones_own_is_selected_by_its_name(tmp_path: Path) -> None:
    assert find_reporter("gates-csv") is GatesCsv
    report_all(replace(OVER, reports=str(tmp_path)), "gates-csv")
    table = rows(tmp_path / "gates.csv")
    assert table[0] == ["experiment", "gate", "verdict"]
    assert len(table) == 1 + len(PASSED.gates) + len(FAILED.gates)


def test_a_path_says_where_the_file_is_written(tmp_path: Path) -> None:
    target = tmp_path / "new" / "all.csv"
    report_all(OVER, f"gates-csv={target}")
    assert rows(target)[1][0] == PASSED.name


def test_a_module_and_its_attribute_are_a_name_too() -> None:
    assert find_reporter("tests.report.gates_csv:GatesCsv") is GatesCsv


def entry_points(*points: EntryPoint) -> object:
    return lambda *, group: [point for point in points if point.group == group]


def test_a_package_brings_one_as_an_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("sheet", "tests.report.gates_csv:GatesCsv", GROUP)
    broken = EntryPoint("broken", "tests.report.missing:Nothing", GROUP)
    monkeypatch.setattr(registry, "entry_points", entry_points(point, broken))
    report_all(OVER, f"sheet={tmp_path / 'sheet.csv'}")
    assert rows(tmp_path / "sheet.csv")[0][0] == "experiment"
    # A package that is broken is listed, with the reason; it is an error to select it.
    assert reporter_names()["sheet"] == "One row for each gate, as CSV."
    assert "ModuleNotFoundError" in reporter_names()["broken"]
    with pytest.raises(UsageError, match="cannot be imported"):
        report_all(OVER, "broken")


@pytest.mark.parametrize(
    ("selected", "message"),
    [
        ("junitt", "did you mean 'junit'"),
        ("=x", "NAME or NAME=PATH"),
        ("json=", "NAME or NAME=PATH"),
        ("terminal=x.txt", "writes no file"),
        ("tests.report.samples:PASSED", "is not a"),
    ],
)
def test_what_cannot_be_selected_is_an_error_of_use(selected: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        report_all(OVER, selected)


def test_two_reporters_of_one_name_are_an_error() -> None:
    with pytest.raises(HarnessError, match="duplicate reporter 'html'"):
        reporter("html")(Loud)


def test_github_reports_by_itself_there_and_only_there() -> None:
    def kinds(environment: Mapping[str, str]) -> set[type[Reporter]]:
        with open_reporters((), environment) as reporters:
            return {type(handler.reporter) for handler in reporters.handlers}  # type: ignore[attr-defined]

    github = REGISTERED["github"]
    assert github in kinds({"GITHUB_ACTIONS": "true"})
    assert github not in kinds({})
    assert {REGISTERED["terminal"], REGISTERED["html"], REGISTERED["junit"]} == kinds({})


def test_a_reporter_that_raises_is_named() -> None:
    with pytest.raises(
        ReporterError,
        match=r"'tests.*Loud' failed: OSError: no paper .tests/report/",
    ):
        report_all(OVER, "tests.report.test_registry:Loud")


def test_harness_run_writes_what_was_selected_and_reports_one_that_raises(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, untouched=UNTOUCHED)
    target = tmp_path / "results.json"
    called = call(
        "run", suite, "--jobs", 1, "--reports", tmp_path / "reports",
        "--report", f"json={target}",
        "--report", "gates-csv",
        "--report", "tests.report.test_registry:Loud",
        "--report", "tests.report.test_registry:Marks",
    )  # fmt: skip
    latest = tmp_path / "reports" / "latest"
    document = json.loads(target.read_text(encoding="utf-8"))
    (run,) = latest.glob("*.seed1")
    assert [item["name"] for item in document["experiments"]] == [run.name.removesuffix(".seed1")]
    assert (run / "mark.txt").read_text(encoding="utf-8") == document["verdict"]
    assert {"report.html", "junit.xml", "verdict.json"} <= {path.name for path in run.iterdir()}
    assert {"index.html", "junit.xml", "gates.csv"} <= {path.name for path in latest.iterdir()}
    assert called.code == 3
    assert called.out.rstrip().endswith("a reporter failed, exit code 3")
    assert "Loud' failed: OSError: no paper (tests/report/test_registry.py:" in called.err
    assert "internal error" not in called.err


def test_a_reporter_that_cannot_write_into_a_run_makes_it_an_error(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, untouched=UNTOUCHED)
    name = "tests.report.test_registry:BreaksRuns"
    called = call("run", suite, "--jobs", 2, "--reports", tmp_path / "reports", "--report", name)
    assert called.code == 3
    assert "disk full" in called.out


def test_an_unknown_reporter_is_refused_before_anything_runs(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, untouched=UNTOUCHED)
    called = call("run", suite, "--reports", tmp_path / "reports", "--report", "htlm")
    assert called.code == 4
    assert "did you mean 'html'" in called.err
    assert not list((tmp_path / "reports").glob("2*"))
