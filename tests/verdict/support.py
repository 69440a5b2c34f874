"""A small history made by hand: a shop whose visits are good or bad, fast or slow, before, during, after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.experiment.model import Experiment
from harness.faults.crash import Crash
from harness.faults.exposure import Exposure
from harness.gates.base import Gate
from harness.history.metadata import FaultRecord, InvariantRecord, RunMetadata
from harness.history.read import History
from harness.history.write import write_history
from harness.runtime.contract import Recorded
from harness.sli.base import Slo
from harness.sli.percentile import PercentileSlo
from harness.sli.ratio import RatioSlo
from harness.system import Event, System, Topology
from harness.verdict.judge import judge
from harness.verdict.model import ExperimentResult
from harness.verdict.recorded import RecordedArm
from tests.history.support import environment


@dataclass(frozen=True, slots=True)
class Visit:
    t_s: float
    group: str
    ok: bool | None
    latency_s: float | None
    status: int = 200
    note: str | None = None


SYSTEM = System(
    name="shop",
    topology=Topology((), (), ()),
    safeguards=(),
    tables={"visits": Visit},
    workloads=(),
    events={"shop.failover": "a shopper went elsewhere"},
)
SUCCESS = RatioSlo(protects="visits succeed", table="visits", good="ok", target="90%")
SPEED = PercentileSlo(
    protects="visits are fast", table="visits", value="latency_s", percentile=95, at_most="500ms"
)
SLOS: dict[str, Slo] = {
    "success": SUCCESS,
    "speed": SPEED,
    "success-by-group": SUCCESS.model_copy(update={"by": "group"}),
}
CRASH = FaultRecord(
    name="crash",
    fault="crash",
    targets=("backend-east",),
    at_s=40.0,
    for_s=40.0,
    applied_at_s=40.0,
    undone_at_s=80.0,
    exposure=Exposure(connections=3),
)
METADATA = RunMetadata(arm="main", without=(), faults=(CRASH,), failures=(), invariants=())


def visits(
    start_s: float,
    good: int,
    bad: int = 0,
    group: str = "fast",
    latency_s: float | None = 0.1,
    **more: Any,
) -> list[Visit]:
    """Good visits, then bad ones, 10 ms apart."""
    return [
        Visit(start_s + index / 100, group, index < good, latency_s, **more) for index in range(good + bad)
    ]


def steady(group: str = "fast") -> list[Visit]:
    """A hundred good and fast visits before the fault."""
    return visits(10.0, 100, group=group)


def history(
    directory: Path,
    rows: Iterable[Visit],
    events: Sequence[tuple[float, str]] = (),
    metadata: RunMetadata = METADATA,
    arm: str = "main",
) -> History:
    """Written and opened again. Rows are `visits`, events (moment, name)."""
    # Each visit is that of another shopper.
    records = [Recorded(row.t_s, f"shopper-{index:06}", row) for index, row in enumerate(rows)]
    records += [Recorded(t_s, "shopper", Event(name)) for t_s, name in events]
    count = sum(1 for _ in directory.iterdir()) if directory.is_dir() else 0
    run = directory / f"run-{count}"
    write_history(
        run,
        system=SYSTEM,
        records=records,
        metadata=metadata,
        experiment_yaml="",
        slos_yaml="",
        environment=environment(arm=arm),
    )
    return History(run)


def experiment(*gates: Gate, faults: int = 1, **more: Any) -> Experiment:
    return Experiment(
        experiment="shop-crash",
        title="A crash is not felt",
        system="shop",
        load={},
        timeline=tuple(
            Crash.model_validate({"fault": "crash", "at": "40s", "for": "40s", "target": {"role": "backend"}})
            for _ in range(faults)
        ),
        gates=gates,
        **more,
    )


def verdict_of(
    stated: Experiment, main: History, arms: Sequence[RecordedArm] = (), slos: dict[str, Slo] | None = None
) -> ExperimentResult:
    return judge(stated, SLOS if slos is None else slos, main, arms)


def without_fault(metadata: RunMetadata = METADATA) -> RunMetadata:
    return replace(metadata, faults=())


def invariant(violated: str) -> RunMetadata:
    return replace(METADATA, invariants=(InvariantRecord("sane", "visits", violated, "numbers make sense"),))


@dataclass(frozen=True, slots=True)
class Arrival:
    """A row of the table of clients. `ended_s` None: it did not end."""

    client: str
    arrived_s: float
    ended_s: float | None
    outcome: str = "left"
    group: str = "fast"
    workload: str = "shoppers"


def by_clients(
    directory: Path, rows: Sequence[tuple[str, Visit]], arrivals: Sequence[Arrival], **more: Any
) -> History:
    """A history of visits, each recorded by the host that is named, and of the clients that arrived."""
    import duckdb

    found = history(directory, [row for _, row in rows], **more)
    run = found.directory
    found.close()
    # Rows are ordered by time; equal times keep their order.
    recorders = [host for host, _ in sorted(rows, key=lambda one: one[1].t_s)]
    with duckdb.connect() as connection:
        file = run / "visits.parquet"
        connection.execute(f"CREATE TABLE v AS SELECT *, row_number() OVER () AS n FROM '{file}'")
        if "recorded_by" in [row[0] for row in connection.execute("DESCRIBE v").fetchall()]:
            connection.execute("ALTER TABLE v DROP COLUMN recorded_by")
        connection.execute("CREATE TABLE r (n BIGINT, recorded_by VARCHAR)")
        if recorders:
            connection.executemany(
                "INSERT INTO r VALUES (?, ?)", [[*pair] for pair in enumerate(recorders, 1)]
            )
        connection.execute(
            f"COPY (SELECT v.* EXCLUDE n, recorded_by FROM v JOIN r USING (n) ORDER BY n) TO '{file}' (FORMAT parquet)"
        )
        connection.execute(
            'CREATE TABLE c (client VARCHAR, workload VARCHAR, "group" VARCHAR, arrived_s DOUBLE, ended_s DOUBLE, '
            "outcome VARCHAR, error VARCHAR, rows BIGINT)"
        )
        if arrivals:
            connection.executemany(
                "INSERT INTO c VALUES (?, ?, ?, ?, ?, ?, NULL, 0)",
                [(a.client, a.workload, a.group, a.arrived_s, a.ended_s, a.outcome) for a in arrivals],
            )
        connection.execute(f"COPY c TO '{run / 'clients.parquet'}' (FORMAT parquet)")
    return History(run)
