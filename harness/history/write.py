"""Writing a run directory, once: tables as Parquet, what happened as JSON, what was asked as YAML.

A directory appears complete or not at all. The history's hash is taken over the rows in their order and over
what the faults did, in a canonical text, so it does not depend on the machine, on Parquet or on `--jobs`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any

from harness.history.columns import EVENT_COLUMNS, Column, columns
from harness.history.facts import RunFacts
from harness.runtimes.base import Recorded
from harness.system import Event, System

EXPERIMENT, SLOS, FACTS, ENVIRONMENT, VERDICT = (
    "experiment.yaml",
    "slos.yaml",
    "facts.json",
    "environment.json",
    "verdict.json",
)
EVENTS = "events"


class HistoryError(RuntimeError):
    """The history cannot be written or read; the message says what was found and what to do."""


def write_history(
    directory: Path,
    *,
    system: System,
    records: Sequence[Recorded],
    facts: RunFacts,
    experiment_yaml: str,
    slos_yaml: str,
    environment: Mapping[str, Any],
) -> str:
    """Write everything but the verdict and return the history's sha256. Raises HistoryError.

    `environment` is completed by the hash and by the sizes of the tables.
    """
    if directory.exists():
        raise HistoryError(f"{directory} is there already; a run directory is written once")
    partial = directory.with_name(f".{directory.name}.partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    try:
        digest = hashlib.sha256()
        counts = {}
        for name, known, rows in _tables(system, records):
            counts[name] = _write_table(partial, name, known, rows, digest)
        core = {key: value for key, value in facts.to_json().items() if key != "statistics"}
        digest.update(_canonical(core).encode())
        sha256 = digest.hexdigest()
        (partial / EXPERIMENT).write_text(experiment_yaml, encoding="utf-8")
        (partial / SLOS).write_text(slos_yaml, encoding="utf-8")
        write_json(partial / FACTS, facts.to_json())
        write_json(partial / ENVIRONMENT, {**environment, "history_sha256": sha256, "rows": counts})
        os.replace(partial, directory)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return sha256


def write_json(file: Path, data: Any) -> None:
    """The same data, the same bytes."""
    file.write_text(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


type _Rows = Iterator[Sequence[Any]]


def _tables(system: System, records: Sequence[Recorded]) -> Iterator[tuple[str, tuple[Column, ...], _Rows]]:
    """Every declared table, empty ones too, and the events; rows as they were emitted."""
    if EVENTS in system.tables:
        raise HistoryError(f"system {system.name} declares a table '{EVENTS}'; that name is taken")
    for name, row_type in system.tables.items():
        known = columns(row_type)
        get = attrgetter(*(field.name for field in fields(row_type)))
        single = len(known) == 1
        yield (
            name,
            known,
            ((get(r.row),) if single else get(r.row) for r in records if type(r.row) is row_type),
        )
    yield (
        EVENTS,
        EVENT_COLUMNS,
        (
            (r.t_s, r.host, r.row.name, _canonical(dict(r.row.fields)))
            for r in records
            if isinstance(r.row, Event)
        ),
    )


def _write_table(directory: Path, name: str, known: tuple[Column, ...], rows: _Rows, digest: Any) -> int:
    import duckdb

    text = directory / f"{name}.ndjson"
    names = [column.name for column in known]
    digest.update(f"{name}:{','.join(names)}\n".encode())
    count = 0
    with text.open("w", encoding="utf-8") as file:
        for row in rows:
            try:
                line = json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, allow_nan=False)
            except ValueError:
                line = json.dumps(_finite(name, known, row), ensure_ascii=False, allow_nan=False)
            file.write(line + "\n")
            digest.update(line.encode())
            count += 1
    types = "{" + ", ".join(f"'{column.name}': '{column.sql}'" for column in known) + "}"
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(
            f"COPY (SELECT * FROM read_json({_quoted(text)}, format='newline_delimited', columns={types})) "
            f"TO {_quoted(directory / f'{name}.parquet')} (FORMAT parquet, COMPRESSION zstd)"
        )
        written = connection.execute(
            f"SELECT count(*) FROM read_parquet({_quoted(directory / f'{name}.parquet')})"
        ).fetchone()
    text.unlink()
    if written is None or written[0] != count:
        raise HistoryError(f"table {name}: {count} rows were recorded, {written} written")
    return count


def _finite(name: str, known: tuple[Column, ...], row: Sequence[Any]) -> dict[str, Any]:
    """The row with what is not a number left out where the column may be empty."""
    found = {}
    for column, value in zip(known, row, strict=True):
        if isinstance(value, float) and not math.isfinite(value):
            if not column.nullable:
                raise HistoryError(
                    f"table {name}: {column.name} is {value}; a column that is not '| None' needs a number"
                )
            value = None
        found[column.name] = value
    return found


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
