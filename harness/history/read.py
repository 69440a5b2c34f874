"""Reading a run directory: its tables with SQL, what happened as `RunFacts`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.history.facts import RunFacts
from harness.history.write import ENVIRONMENT, EXPERIMENT, FACTS, SLOS, HistoryError


class History:
    """One arm's history. Use as a context manager, or `close` it. Raises HistoryError for a broken one."""

    def __init__(self, directory: Path) -> None:
        import duckdb

        self.directory = directory
        if not (directory / FACTS).is_file():
            raise HistoryError(
                f"{directory} is not a run directory: it has no {FACTS}; give one that 'harness run' printed"
            )
        try:
            self.facts = RunFacts.from_json(json.loads((directory / FACTS).read_text(encoding="utf-8")))
            self.environment: Mapping[str, Any] = json.loads(
                (directory / ENVIRONMENT).read_text(encoding="utf-8")
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise HistoryError(f"{directory}: cannot be read: {type(error).__name__}: {error}") from error
        self._connection = duckdb.connect(config={"threads": 1})
        self.tables: dict[str, tuple[str, ...]] = {}
        for file in sorted(directory.glob("*.parquet")):
            self._add(file)

    def _add(self, file: Path) -> None:
        import duckdb

        path = str(file).replace("'", "''")
        start, end = (_sql(value) for value in (self.facts.fault_start_s, self.facts.fault_end_s))
        try:
            # In memory, with the moments that every expression may use.
            self._connection.execute(
                f'CREATE TABLE "{file.stem}" AS SELECT *, {start} AS fault_start_s, {end} AS fault_end_s '
                f"FROM read_parquet('{path}')"
            )
        except duckdb.Error as error:
            raise HistoryError(f"{file}: cannot be read: {error}") from error
        described = self._connection.execute(f'DESCRIBE "{file.stem}"').fetchall()
        self.tables[file.stem] = tuple(str(row[0]) for row in described)

    @property
    def experiment_yaml(self) -> str:
        return (self.directory / EXPERIMENT).read_text(encoding="utf-8")

    @property
    def slos_yaml(self) -> str:
        return (self.directory / SLOS).read_text(encoding="utf-8")

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query over the tables. Raises HistoryError with the first line of what is wrong."""
        import duckdb

        try:
            return self._connection.execute(sql).fetchall()
        except duckdb.Error as error:
            raise HistoryError(str(error).splitlines()[0]) from error

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _sql(value: float | None) -> str:
    return "CAST(NULL AS DOUBLE)" if value is None else f"CAST({value!r} AS DOUBLE)"
