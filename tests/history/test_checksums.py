"""A history knows whether its files are those that were recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.history.files import alterations
from harness.history.metadata import read_environment
from tests.history.test_write import BASE, write


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write(tmp_path / "run", BASE)
    return tmp_path / "run"


def found(run: Path) -> tuple[str, ...]:
    return alterations(run, read_environment(run).files)


def test_what_was_written_is_intact(run: Path) -> None:
    assert found(run) == ()


def test_reports_and_verdicts_are_not_part_of_it(run: Path) -> None:
    (run / "verdict.json").write_text("{}", encoding="utf-8")
    (run / "report.html").write_text("", encoding="utf-8")
    assert found(run) == ()


@pytest.mark.parametrize(
    "name",
    ["rows.parquet", "others.parquet", "events.parquet", "metadata.json", "experiment.yaml", "slos.yaml"],
)
def test_every_file_that_a_verdict_comes_from_is(run: Path, name: str) -> None:
    content = (run / name).read_bytes()
    (run / name).write_bytes(content + b" ")
    assert found(run) == (f"{name} was changed",)
    (run / name).unlink()
    assert found(run) == (f"{name} is missing",)
    (run / name).write_bytes(content)
    assert found(run) == ()


def test_a_table_more_is_told(run: Path) -> None:
    (run / "more.parquet").write_bytes((run / "rows.parquet").read_bytes())
    assert found(run) == ("more.parquet was added",)


def test_without_hashes_nothing_is_taken_for_intact(run: Path) -> None:
    assert len(alterations(run, None)) == 1
