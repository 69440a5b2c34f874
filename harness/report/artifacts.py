"""What is written when a run, or a suite, is over: the page, JUnit, the index. Everything else is a handler."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.engine.events import EngineEvent, SuiteFinished
from harness.history.files import VERDICT
from harness.report import formatting as words
from harness.report.arm_charts import comparisons
from harness.report.chart_context import asked
from harness.report.html import index_page, run_page
from harness.report.junit import to_junit
from harness.report.parquet import ParquetTables
from harness.verdict.document import results_of
from harness.verdict.model import ExperimentResult
from harness.verdict.recorded import RecordedRun

PAGE = "report.html"
JUNIT = "junit.xml"
INDEX = "index.html"


def finish_run(run: RecordedRun, result: ExperimentResult) -> None:
    """Write `report.html` and `junit.xml` into the run directory, from its tables and its environment."""
    tables = ParquetTables(run.directory)
    try:
        about = _environment(run.directory)
        page = run_page(result, tables, about, comparisons(run, result), asked=asked(run))
    finally:
        tables.close()
    (run.directory / PAGE).write_text(page, encoding="utf-8")
    (run.directory / JUNIT).write_text(to_junit([result]), encoding="utf-8")


def write_suite(event: EngineEvent) -> None:
    """A handler of engine events: when a suite is over, its index and its JUnit file."""
    if isinstance(event, SuiteFinished) and event.results:
        finish_suite(Path(event.reports), event.results, event.elapsed_s)


def finish_suite(reports: Path, results: Sequence[ExperimentResult], elapsed_s: float) -> Path:
    """Write `index.html` and `junit.xml` of the whole suite; returns the index."""
    reports.mkdir(parents=True, exist_ok=True)
    (reports / JUNIT).write_text(to_junit(results, elapsed_s), encoding="utf-8")
    index = reports / INDEX
    index.write_text(index_page(results, reports, about_suite(results, elapsed_s)), encoding="utf-8")
    return index


def recorded(suite: Path) -> list[ExperimentResult]:
    """The results of the runs in a suite's directory, from their verdict.json, by name."""
    found: list[ExperimentResult] = []
    # What is hidden was not finished.
    for file in sorted(suite.glob(f"[!.]*/{VERDICT}")):
        document = json.loads(file.read_text(encoding="utf-8"))
        found += results_of(document)
    return found


def _environment(run_dir: Path) -> Mapping[str, Any]:
    file = run_dir / "environment.json"
    if not file.is_file():
        return {}
    found = json.loads(file.read_text(encoding="utf-8"))
    # Shown by the page itself, from the result.
    return {name: value for name, value in found.items() if name not in ("replay", "history_sha256", "files")}


def about_suite(results: Sequence[ExperimentResult], elapsed_s: float) -> list[tuple[str, str]]:
    """When the suite ended and how long it took, with which versions, and the command that ran it."""
    about = [("ended", datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"))]
    if elapsed_s:
        about.append(("took", words.duration(elapsed_s)))
    program = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "harness"
    about.append(("command", shlex.join(["harness" if program == "__main__.py" else program, *sys.argv[1:]])))
    versions: Mapping[str, str] = next(
        (found for result in results if (found := _environment(Path(result.run)).get("versions"))), {}
    )
    if versions:
        about.append(("versions", ", ".join(f"{name} {version}" for name, version in versions.items())))
    if commit := _commit():
        about.append(("commit", commit))
    return about


def _commit() -> str | None:
    """Of the working directory, where it is under git."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
