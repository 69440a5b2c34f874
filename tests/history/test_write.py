from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from harness.faults.exposure import Exposure
from harness.history.metadata import FaultRecord, HistoryError, RunMetadata
from harness.history.read import History
from harness.history.write import staged, write_history
from harness.runtime.contract import Recorded
from harness.system import Event, System, Topology
from harness.workload.records import ClientRecord
from tests.history.support import environment


@dataclass(frozen=True, slots=True)
class Row:
    t_s: float
    name: str
    count: int
    ok: bool
    note: str | None = None
    size: int | None = None
    share: float | None = None
    fine: bool | None = None


@dataclass(frozen=True, slots=True)
class Other:
    t_s: float


@dataclass(frozen=True, slots=True)
class Stranger:
    t_s: float


SYSTEM = System("lab", Topology((), (), ()), (), {"rows": Row, "others": Other}, ())
METADATA = RunMetadata("main", (), (), (), ())
FAULT = FaultRecord("f", "crash", ("a",), 1.0, 2.0, 1.0, 3.0, Exposure(requests=1))


def write(directory: Path, rows: Sequence[Any], metadata: RunMetadata = METADATA, **more: Any) -> str:
    records = [
        row if isinstance(row, Recorded) else Recorded(float(getattr(row, "t_s", 0.5)), "host", row)
        for row in rows
    ]
    return write_history(
        directory,
        system=SYSTEM,
        records=records,
        metadata=metadata,
        experiment_yaml="experiment: e\n",
        slos_yaml="{}\n",
        environment=environment(seed=1, **more),
    )


def test_rows_come_back_with_their_types(tmp_path: Path) -> None:
    rows = [
        Row(0.1, "a", 1, True),
        Row(0.2, "é\n\x00'\"", -(2**63), False, "", 2**63 - 1, 0.1 + 0.2, True),
        Row(0.3, "日本", 0, True, "none", 0, -1e300, False),
    ]
    write(tmp_path / "run", rows)
    with History(tmp_path / "run") as history:
        found = history.query("SELECT * EXCLUDE (recorded_by, fault_start_s, fault_end_s) FROM rows")
        assert found == [tuple(getattr(row, name) for name in Row.__slots__) for row in rows]
        assert history.tables["rows"] == {
            "t_s": "DOUBLE",
            "name": "VARCHAR",
            "count": "BIGINT",
            "ok": "BOOLEAN",
            "note": "VARCHAR",
            "size": "BIGINT",
            "share": "DOUBLE",
            "fine": "BOOLEAN",
            "recorded_by": "VARCHAR",
            "fault_start_s": "DOUBLE",
            "fault_end_s": "DOUBLE",
        }


def test_empty_tables_are_there_with_their_columns(tmp_path: Path) -> None:
    write(tmp_path / "run", [])
    with duckdb.connect() as plain:
        for name, row_type in (("rows", Row), ("others", Other)):
            described = plain.execute(f"DESCRIBE FROM '{tmp_path}/run/{name}.parquet'").fetchall()
            assert [row[0] for row in described] == [*row_type.__slots__, "recorded_by"]
        described = plain.execute(f"DESCRIBE FROM '{tmp_path}/run/events.parquet'").fetchall()
        assert [row[:2] for row in described] == [
            ("t_s", "DOUBLE"),
            ("host", "VARCHAR"),
            ("event", "VARCHAR"),
            ("fields", "VARCHAR"),
        ]


def test_a_column_that_is_null_for_a_long_time(tmp_path: Path) -> None:
    rows = [Row(n / 100, "a", n, True, "late" if n > 4000 else None) for n in range(5000)]
    write(tmp_path / "run", rows)
    with History(tmp_path / "run") as history:
        assert history.query("SELECT count(*), count(note), max(note) FROM rows") == [(5000, 999, "late")]


def test_every_client_is_a_row_with_what_it_recorded(tmp_path: Path) -> None:
    clients = [
        ClientRecord("c-2", "guests", "slow", 2.0, error="it did not end"),
        ClientRecord("c-1", "guests", "fast", 1.0, 3.0, "left"),
    ]
    rows = [Recorded(n / 10, host, Other(n / 10)) for n, host in enumerate(("c-1", "node", "c-1"))]
    write_history(
        tmp_path / "run",
        system=SYSTEM,
        records=[*rows, Recorded(0.5, "c-2", Event("no row of a table"))],
        metadata=METADATA,
        experiment_yaml="",
        slos_yaml="",
        environment=environment(),
        clients=clients,
    )
    with History(tmp_path / "run") as history:
        assert history.query("SELECT * EXCLUDE (fault_start_s, fault_end_s) FROM clients") == [
            ("c-1", "guests", "fast", 1.0, 3.0, "left", None, 2),
            ("c-2", "guests", "slow", 2.0, None, "unended", "it did not end", 0),
        ]
        assert history.query("SELECT recorded_by FROM others") == [("c-1",), ("node",), ("c-1",)]


def test_events(tmp_path: Path) -> None:
    events = [
        Recorded(2.0, "b", Event("e", {"z": 1, "a": "x", "none": None, "yes": True})),
        Recorded(1.0, "a", Event("d")),
    ]
    write(tmp_path / "run", events)
    with History(tmp_path / "run") as history:
        assert history.query("SELECT t_s, host, event, fields FROM events") == [
            (1.0, "a", "d", "{}"),
            (2.0, "b", "e", '{"a":"x","none":null,"yes":true,"z":1}'),
        ]
        assert history.query("SELECT fields->>'a' FROM events WHERE event = 'e'") == [("x",)]


def test_rows_are_ordered_by_time_host_and_emission(tmp_path: Path) -> None:
    rows = [
        Recorded(t_s, host, Row(t_s, name, 0, True))
        for t_s, host, name in [
            (2.0, "a", "5"),
            (1.0, "b", "3"),
            (1.0, "a", "1"),
            (1.0, "b", "4"),
            (1.0, "a", "2"),
        ]
    ]
    write(tmp_path / "run", rows)
    with History(tmp_path / "run") as history:
        assert [row[0] for row in history.query("SELECT name FROM rows")] == ["1", "2", "3", "4", "5"]


FIRST, SECOND = Row(0.1, "a", 1, True), Row(0.2, "b", 2, False, "x", 3, 0.5, True)
BASE = [
    FIRST,
    SECOND,
    Recorded(0.3, "h", Event("e", {"k": 1})),
]


def test_equal_histories_have_equal_hashes(tmp_path: Path) -> None:
    metadata = replace(METADATA, faults=(FAULT,))
    first = write(tmp_path / "1", BASE, metadata)
    again = write(tmp_path / "2", BASE, replace(metadata, statistics={"rss": 5}), replay="another")
    assert first == again
    assert json.loads((tmp_path / "1/environment.json").read_text())["history_sha256"] == first
    assert json.loads((tmp_path / "1/environment.json").read_text())["rows"] == {
        "rows": 2,
        "others": 0,
        "events": 1,
        "clients": 0,
    }


@pytest.mark.parametrize(
    "rows",
    [
        BASE[:2],
        [*BASE, Other(0.0)],
        [replace(FIRST, t_s=0.1000000001), *BASE[1:]],
        [replace(FIRST, name="a\x00"), *BASE[1:]],
        [replace(FIRST, name=""), *BASE[1:]],
        [replace(FIRST, note=""), *BASE[1:]],
        [replace(FIRST, size=0), *BASE[1:]],
        [replace(FIRST, share=0.0), *BASE[1:]],
        [replace(FIRST, fine=False), *BASE[1:]],
        [replace(FIRST, ok=False), *BASE[1:]],
        [replace(FIRST, count=2), *BASE[1:]],
        [*BASE[:2], Recorded(0.3, "i", Event("e", {"k": 1}))],
        [*BASE[:2], Recorded(0.3, "h", Event("e", {"k": 2}))],
    ],
)
def test_any_other_row_is_another_hash(tmp_path: Path, rows: list[Any]) -> None:
    assert write(tmp_path / "1", BASE) != write(tmp_path / "2", rows)


@pytest.mark.parametrize(
    "changes",
    [{"undone_at_s": 3.1}, {"exposure": Exposure(requests=2)}, {"targets": ("b",)}, {"error": "no"}],
)
def test_what_a_fault_did_is_part_of_the_hash(tmp_path: Path, changes: dict[str, Any]) -> None:
    one, other = (replace(METADATA, faults=(fault,)) for fault in (FAULT, replace(FAULT, **changes)))
    assert write(tmp_path / "1", BASE, one) != write(tmp_path / "2", BASE, other)


def test_the_hash_is_a_matter_of_values_only(tmp_path: Path) -> None:
    """Written down once: another machine, Python or hash seed must find the same."""
    found = write(tmp_path / "run", BASE, replace(METADATA, faults=(FAULT,)))
    program = (
        "import sys, pathlib; from tests.history.test_write import *;"
        "print(write(pathlib.Path(sys.argv[1]), BASE, replace(METADATA, faults=(FAULT,))))"
    )
    for seed in ("1", "2"):
        printed = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / seed)],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert printed.stdout.strip() == found
    assert found == "797af031a03526ea80a6f3954551c06cd63046c5ef2a6439bba124f82ae54156"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (Row("0.1", "a", 1, True), "rows: t_s is '0.1' (str); it must be float or int"),  # type: ignore[arg-type]
        (Row(0.1, 7, 1, True), "rows: name is 7 (int); it must be str"),  # type: ignore[arg-type]
        (Row(0.1, "a", 1.5, True), "rows: count is 1.5 (float); it must be int"),  # type: ignore[arg-type]
        (Row(0.1, "a", True, True), "rows: count is True (bool); it must be int"),
        (Row(0.1, "a", 1, 1), "rows: ok is 1 (int); it must be bool"),  # type: ignore[arg-type]
        (Row(0.1, None, 1, True), "rows: name is None (NoneType); it must be str"),  # type: ignore[arg-type]
        (Row(0.1, "a", 1, True, note=3), "rows: note is 3 (int); it must be str or None"),  # type: ignore[arg-type]
        (Row(0.1, "a", 2**63, True), "rows: count: "),
        (Row(math.nan, "a", 1, True), "rows: t_s is nan"),
        (Row(0.1, "\ud800", 1, True), "rows: name: "),
        (Stranger(0.1), "emitted a Stranger"),
        (Event("e", {"x": object()}), "event e: "),  # type: ignore[dict-item]
        (Event("e", {"x": math.inf}), "event e: "),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, row: Any, said: str) -> None:
    with pytest.raises(HistoryError) as raised:
        write(tmp_path / "run", [Row(0.0, "a", 1, True), row])
    assert said in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_float_that_is_no_number_is_null_where_it_may_be(tmp_path: Path) -> None:
    write(tmp_path / "run", [Row(0.1, "a", 1, True, share=math.nan), Row(0.2, "a", 1, True, share=math.inf)])
    with History(tmp_path / "run") as history:
        assert history.query("SELECT count(*), count(share) FROM rows") == [(2, 0)]


def test_a_run_directory_is_written_once(tmp_path: Path) -> None:
    write(tmp_path / "run", BASE)
    with pytest.raises(HistoryError, match="written once"):
        write(tmp_path / "run", BASE)


@pytest.mark.parametrize(
    "tables",
    [{"events": Row}, {"clients": Row}, {"rows": Row, "again": Row}],
    ids=["events", "clients", "one class twice"],
)
def test_tables_that_cannot_be(tmp_path: Path, tables: dict[str, type]) -> None:
    with pytest.raises(HistoryError, match="declares"):
        write_history(
            tmp_path / "run",
            system=replace(SYSTEM, tables=tables),
            records=[],
            metadata=METADATA,
            experiment_yaml="",
            slos_yaml="",
            environment=environment(),
        )


def test_staged_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    with staged(tmp_path / "run") as partial:
        (partial / "x").write_text("1")
        assert not (tmp_path / "run").exists()
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["x"]
    with pytest.raises(FileNotFoundError), staged(tmp_path / "other") as partial:
        (partial / "nowhere" / "x").write_text("1")
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


def test_a_hundred_thousand_rows_take_a_moment(tmp_path: Path) -> None:
    rows = [Row(n / 1000, f"name-{n % 100}", n, n % 3 == 0, None, n, n / 7) for n in range(100_000)]
    began = time.process_time()
    write(tmp_path / "run", rows)
    assert time.process_time() - began < 2.0
