from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import EXIT_ERROR
from harness.history.metadata import BrokenHistory, HistoryError, InvariantRecord, RunMetadata
from harness.history.read import History
from tests.history.test_write import BASE, FAULT, METADATA, write


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write(tmp_path / "run", BASE, replace(METADATA, faults=(FAULT,)))
    return tmp_path / "run"


def test_what_was_written_is_read(run: Path) -> None:
    with History(run) as history:
        assert history.metadata == replace(METADATA, faults=(FAULT,))
        assert history.environment.seed == 1
        assert len(history.environment.history_sha256) == 64
        assert sorted(history.tables) == ["clients", "events", "others", "rows"]


def test_fault_moments_are_columns(run: Path) -> None:
    with History(run) as history:
        assert history.query("SELECT DISTINCT fault_start_s, fault_end_s FROM rows") == [(1.0, 3.0)]


def test_without_faults_the_moments_are_null(tmp_path: Path) -> None:
    write(tmp_path / "calm", BASE)
    with History(tmp_path / "calm") as history:
        assert history.query("SELECT count(fault_start_s), count(fault_end_s) FROM rows") == [(0, 0)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT nothing FROM rows",
        "SELECT 1 FROM nowhere",
        "SELEKT 1",
        "SELECT 1; SELECT 2",
        "DROP TABLE rows; SELECT 1",
        "",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM '/etc/hostname'",
        "COPY rows TO '/tmp/stolen.csv'",
        "ATTACH '/tmp/stolen.db'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
    ],
)
def test_queries_that_are_refused(run: Path, sql: str) -> None:
    with History(run) as history, pytest.raises(HistoryError):
        history.query(sql)


def test_the_type_of_an_expression(run: Path) -> None:
    with History(run) as history:
        assert history.kind("t_s > 1 -- late", "rows") == "BOOLEAN"
        with pytest.raises(HistoryError, match="no table 'row'; there are clients, events, others, rows"):
            history.kind("true", "row")
        with pytest.raises(HistoryError):
            history.kind("true), (false", "rows")


def test_a_directory_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="is not a run directory"):
        History(tmp_path)


def test_a_directory_of_runs_names_one_of_them(run: Path) -> None:
    with pytest.raises(HistoryError, match=f"use one of the runs in it, such as {run}$"):
        History(run.parent)


@pytest.mark.parametrize("name", ["metadata.json", "environment.json", "rows.parquet"])
def test_a_broken_run(run: Path, name: str) -> None:
    (run / name).write_text("[")
    with pytest.raises(HistoryError, match="cannot be read"):
        History(run)


def test_metadata_there_and_back(tmp_path: Path) -> None:
    metadata = RunMetadata(
        "without x",
        ("x",),
        (FAULT, replace(FAULT, applied_at_s=None, undone_at_s=None, error="no such node")),
        ("it broke",),
        (InvariantRecord("i", "rows", "t_s < 0", "time"),),
        {"clients": 3, "load": {"starts": {"max_s": 0.25}}},
    )
    write(tmp_path / "run", BASE, metadata)
    with History(tmp_path / "run") as history:
        assert history.metadata == metadata
    assert (metadata.fault_start_s, metadata.fault_end_s) == (1.0, 3.0)


def test_moments_of_faults_that_never_were() -> None:
    metadata = replace(METADATA, faults=(replace(FAULT, applied_at_s=None, undone_at_s=None),))
    assert (metadata.fault_start_s, metadata.fault_end_s) == (None, None)


@pytest.mark.parametrize("name", ["metadata.json", "environment.json", "rows.parquet"])
def test_a_file_that_was_cut_short_is_an_error_not_a_mistake_of_the_user(run: Path, name: str) -> None:
    file = run / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(BrokenHistory) as raised, History(run):
        pass
    assert raised.value.exit_code == EXIT_ERROR
    assert "\n" not in str(raised.value)
