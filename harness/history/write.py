"""Writing a run directory, once: tables as Parquet, metadata as JSON, the experiment and its SLOs as YAML.

A directory appears complete or not at all. The history's hash is taken over the rows in their order and over
what the faults did, in a canonical form, so it does not depend on the machine, on Parquet or on `--jobs`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from harness.history.columns import CLIENT_COLUMNS, EVENT_COLUMNS, columns, field_columns
from harness.history.files import CLIENTS, ENVIRONMENT, EVENTS, EXPERIMENT, METADATA, SLOS, file_hashes
from harness.history.metadata import Environment, HistoryError, RunMetadata
from harness.history.table import Table
from harness.runtime.contract import Recorded
from harness.system import Event, System
from harness.system.processor import PROCESSORS, ProcessorSlice
from harness.workload.records import TABLES as LOAD_TABLES
from harness.workload.records import ClientRecord

_PLANNED = ("statistics", "groups", "fault_zones", "consulted_s")
"""Metadata that is not part of the history's hash: figures of the runtime, and what follows from the plan."""

OWN_TABLES: Mapping[str, type] = {**LOAD_TABLES, PROCESSORS: ProcessorSlice}
"""Tables that the harness itself records, written where they have rows."""

RESERVED_TABLES = (EVENTS, CLIENTS, *OWN_TABLES)
"""A system cannot declare tables of these names."""


@contextmanager
def staged(directory: Path) -> Iterator[Path]:
    """A hidden directory to write into; it becomes `directory` when the block succeeds, and is removed otherwise.

    Raises HistoryError when `directory` exists: a run is written once.
    """
    if directory.exists():
        raise HistoryError(f"{directory} exists already; a run directory is written once")
    partial = directory.with_name(f".{directory.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        os.rename(partial, directory)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def write_history(
    directory: Path,
    *,
    system: System,
    records: Sequence[Recorded],
    metadata: RunMetadata,
    experiment_yaml: str,
    slos_yaml: str,
    environment: Environment,
    clients: Sequence[ClientRecord] = (),
) -> str:
    """Write everything but the verdict and return the history's sha256. Raises HistoryError.

    Rows are ordered by time, then host, then as they were emitted; `clients` are all that arrived.
    `environment` is completed by the hash, by the sizes of the tables and by the hashes of the files (see
    `harness.history.files`).
    """
    import duckdb

    with staged(directory) as partial, duckdb.connect(config={"threads": 1}) as connection:
        digest = hashlib.sha256()
        counts = {}
        for table in (*tables(system, records), client_table(system, records, clients)):
            counts[table.name] = table.count
            digest.update(table.canonical())
            table.write(partial / f"{table.name}.parquet", connection)
        document = TypeAdapter(RunMetadata).dump_python(metadata, mode="json")
        core = {key: value for key, value in document.items() if key not in _PLANNED}
        if metadata.stopped is None:
            del core["stopped"]
        for fault in core["faults"]:
            if fault["when"] is None:
                del fault["when"]
        digest.update(_canonical(core).encode())
        sha256 = digest.hexdigest()
        (partial / EXPERIMENT).write_text(experiment_yaml, encoding="utf-8")
        (partial / SLOS).write_text(slos_yaml, encoding="utf-8")
        write_json(partial / METADATA, document)
        about = {"history_sha256": sha256, "rows": counts, "files": file_hashes(partial)}
        complete = environment.model_copy(update=about)
        write_json(partial / ENVIRONMENT, complete.model_dump(mode="json"))
    return sha256


def write_json(file: Path, data: Any) -> None:
    file.write_text(json_text(data), encoding="utf-8")


def json_text(data: Any) -> str:
    """The same data, the same text."""
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def tables(system: System, records: Sequence[Recorded]) -> list[Table]:
    """Every declared table, empty ones too, the events, and those of the harness that have rows. Raises
    HistoryError for what belongs to none."""
    for taken in RESERVED_TABLES:
        if taken in system.tables:
            raise HistoryError(f"system {system.name} declares a table '{taken}'; that name is taken")
    names = {row_type: name for name, row_type in system.tables.items()}
    if len(names) < len(system.tables):
        raise HistoryError(f"system {system.name} declares one row class for two tables; give each its own")
    known = {name: columns(row_type) for name, row_type in system.tables.items()}
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in system.tables}
    events: list[tuple[Any, ...]] = []
    takers = {row_type: (rows[name].append, _getter(row_type)) for row_type, name in names.items()}
    own: dict[str, list[tuple[Any, ...]]] = {name: [] for name in OWN_TABLES}
    takers |= {row_type: (own[name].append, _getter(row_type)) for name, row_type in OWN_TABLES.items()}
    for record in sorted(records, key=attrgetter("t_s", "host")):
        row = record.row
        if (taker := takers.get(type(row))) is not None:
            append, get = taker
            append((*get(row), record.host) if type(row) in names else get(row))
        elif isinstance(row, Event):
            events.append((record.t_s, record.host, row.name, _event_fields(row)))
        else:
            raise HistoryError(
                f"{record.host} emitted a {type(row).__name__} at {record.t_s:g} s, which system {system.name} "
                f"does not declare; its tables hold {', '.join(t.__name__ for t in names) or 'nothing'}"
            )
    return [
        *(Table(name, known[name], rows[name]) for name in rows),
        Table(EVENTS, EVENT_COLUMNS, events),
        *(Table(name, field_columns(OWN_TABLES[name]), found) for name, found in own.items() if found),
    ]


def client_table(system: System, records: Sequence[Recorded], clients: Sequence[ClientRecord]) -> Table:
    """All clients in the order of their arrival, each with the number of rows that it recorded in declared tables."""
    declared = set(system.tables.values())
    recorded = Counter(record.host for record in records if type(record.row) in declared)
    rows = [
        (*_CLIENT_VALUES(client), recorded[client.client])
        for client in sorted(clients, key=attrgetter("arrived_s", "client"))
    ]
    return Table(CLIENTS, CLIENT_COLUMNS, rows)


_CLIENT_VALUES = attrgetter(*(column.name for column in CLIENT_COLUMNS if column.name != "rows"))


def _getter(row_type: type) -> Any:
    names = [field.name for field in fields(row_type)]
    get = attrgetter(*names)
    return get if len(names) > 1 else lambda row: (get(row),)


def _event_fields(event: Event) -> str:
    try:
        return _canonical(dict(event.fields))
    except (TypeError, ValueError) as error:
        raise HistoryError(
            f"event {event.name}: {error}; fields are text, numbers, true, false or null"
        ) from error


def _canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
