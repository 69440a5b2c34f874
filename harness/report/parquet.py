"""The tables of a run directory as charts need them: every Parquet file a view."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class ParquetTables:
    """`Tables` over `*.parquet` of a run directory, through an in-memory DuckDB of one thread."""

    def __init__(self, directory: Path) -> None:
        import duckdb

        self._connection = duckdb.connect(config={"threads": 1})
        self._names = []
        for file in sorted(directory.glob("*.parquet")):
            name = file.stem
            path = str(file).replace("'", "''")
            self._connection.execute(f"CREATE VIEW \"{name}\" AS SELECT * FROM read_parquet('{path}')")
            self._names.append(name)

    def columns(self) -> Mapping[str, Mapping[str, str]]:
        return {name: {row[0]: row[1] for row in self.rows(f'DESCRIBE "{name}"')} for name in self._names}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql).fetchall()

    def close(self) -> None:
        self._connection.close()
