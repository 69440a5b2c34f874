"""What the report tests share: a snapshot check, and small hand-made histories."""

from __future__ import annotations

import json
import random
from pathlib import Path

import duckdb
from pydantic import TypeAdapter

from harness.history.files import ENVIRONMENT, METADATA
from harness.history.metadata import Environment, RunMetadata
from harness.history.read import History
from tests.support.snapshots import compare_with_file

EXPECTED = Path(__file__).parent / "expected"


def check_snapshot(name: str, text: str) -> None:
    """Compare with `expected/NAME`."""
    compare_with_file(EXPECTED / name, text)


def write_streaming_history(directory: Path, sessions: int = 200) -> History:
    """Tables as a streaming system records them: sessions, requests, and events with stalls and breakers."""
    rng = random.Random(7)
    con = duckdb.connect()
    con.execute(
        "CREATE TABLE sessions (t_s DOUBLE, network_class VARCHAR, started_at_s DOUBLE, startup_s DOUBLE,"
        " outcome VARCHAR, bitrate_kbps DOUBLE)"
    )
    con.execute(
        "CREATE TABLE requests (t_s DOUBLE, network_class VARCHAR, kind VARCHAR, ok BOOLEAN, status INTEGER,"
        " latency_s DOUBLE, bitrate_kbps DOUBLE)"
    )
    con.execute("CREATE TABLE events (t_s DOUBLE, host VARCHAR, event VARCHAR, fields VARCHAR)")
    rows: list[tuple[object, ...]] = []
    requests: list[tuple[object, ...]] = []
    events: list[tuple[float, str, str, str]] = []
    for i in range(sessions):
        t = i * 180 / sessions
        group = rng.choice(["fibre", "dsl", "4g"])
        hurt = 60 <= t < 120
        rows.append(
            (t + 20, group, t, None if hurt and i % 7 == 0 else rng.uniform(0.4, 3), "completed", 4e3)
        )
        requests.append((t, group, "home", not (hurt and i % 5 == 0), 200, rng.uniform(0.02, 0.2), None))
        requests.append((t + 4, group, "segment", True, 200, rng.uniform(0.1, 0.9), rng.uniform(1e3, 6e3)))
        if hurt and i % 9 == 0:
            events.append((t, f"viewer-{i}", "player.stall", json.dumps({"stall_s": 1.5})))
    for t, state in ((62.0, "open"), (92.0, "half-open"), (93.0, "closed")):
        fields = json.dumps({"dependency": "recommender", "state": state})
        events.append((t, "gateway-1", "breaker.state", fields))
    con.executemany("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?)", rows)
    con.executemany("INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?)", requests)
    con.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", sorted(events))
    for name in ("sessions", "requests", "events"):
        con.execute(f"COPY {name} TO '{directory / name}.parquet'")
    con.close()
    return open_history(directory)


def write_table(directory: Path, name: str, sql: str) -> History:
    """A history of one table, with the rows of a query."""
    con = duckdb.connect()
    con.execute(f"COPY ({sql}) TO '{directory / name}.parquet'")
    con.close()
    return open_history(directory)


def open_history(directory: Path) -> History:
    """The tables in the directory as the history of a run without faults."""
    metadata = RunMetadata(arm="main", without=(), faults=(), failures=(), invariants=())
    (directory / METADATA).write_bytes(TypeAdapter(RunMetadata).dump_json(metadata))
    (directory / ENVIRONMENT).write_text(SAMPLE_ENVIRONMENT.model_dump_json(), encoding="utf-8")
    return History(directory)


SAMPLE_ENVIRONMENT = Environment(
    experiment="a",
    file="a.chaos.yaml",
    slos_file=None,
    system="toy",
    runtime="sim",
    options={},
    seed=7,
    without=(),
    arm="main",
    arms=(),
    targets={},
    run="reports/a.seed7",
    replay="harness replay reports/a.seed7",
    versions={"python": "3.13.0", "aiohttp": "3.14"},
)
