"""Reading the history of one arm: its tables with SQL, its metadata and its environment."""

from __future__ import annotations

import atexit
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import TypeAdapter, ValidationError

from harness.errors import InvalidValue
from harness.history.columns import CONSTANTS, FAULT_END, FAULT_START
from harness.history.files import METADATA
from harness.history.metadata import (
    BrokenHistory,
    Environment,
    HistoryError,
    RunMetadata,
    read_environment,
)
from harness.history.sql import check_sql, interrupted_after
from harness.history.table import Table, literal, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MAX_QUERY_S = 60.0
"""How long one query may take."""

MAX_KINDS = 10_000
_KINDS: dict[tuple[str, tuple[tuple[str, str], ...]], str] = {}
"""The SQL type of an expression, by the columns that it may use: it does not depend on the rows."""

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "4GB",
    "temp_directory": "",
}


_SPARE: list[DuckDBPyConnection] = []
"""A connection without tables, for the next history in memory: a new one takes longer than its queries."""


def _spare_connection() -> DuckDBPyConnection:
    if _SPARE:
        return _SPARE.pop()
    import duckdb

    connection = duckdb.connect(config=_CONFIG)
    _close_off(connection)
    return connection


@atexit.register
def _close_spare() -> None:
    while _SPARE:
        _SPARE.pop().close()


def _close_off(connection: DuckDBPyConnection) -> None:
    """Expressions come from people's files: they see the tables, never the disk or the network."""
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


class History:
    """One arm's history. Use as a context manager, or `close` it. Raises HistoryError for a broken one."""

    def __init__(self, directory: Path) -> None:
        import duckdb

        self.directory = directory
        if not (directory / METADATA).is_file():
            runs = sorted(file.parent.name for file in directory.glob(f"*/{METADATA}"))
            example = (
                f"one of the runs in it, such as {directory / runs[0]}"
                if runs
                else "one that 'harness run' printed"
            )
            raise HistoryError(f"{directory} is not a run directory: it has no {METADATA}; use {example}")
        try:
            self.metadata = TypeAdapter(RunMetadata).validate_json((directory / METADATA).read_bytes())
            self.environment = read_environment(directory)
        except (OSError, ValueError) as error:
            raise BrokenHistory(f"{directory}: cannot be read: {_reason(error)}") from error
        self._connection, self._is_spare = duckdb.connect(config=_CONFIG), False
        self.tables: dict[str, dict[str, str]] = {}
        """Table name to its columns: name to SQL type."""
        try:
            for file in sorted(directory.glob("*.parquet")):
                self._add(file)
            _close_off(self._connection)
        except BaseException:
            self._connection.close()
            raise

    @classmethod
    def in_memory(cls, tables: Iterable[Table], metadata: RunMetadata, environment: Environment) -> Self:
        """The history of an arm that is not written. Raises HistoryError."""
        history = cls.__new__(cls)
        history.directory = Path()
        history.metadata, history.environment, history.tables = metadata, environment, {}
        history._connection = _spare_connection()
        history._is_spare = True
        try:
            for table in tables:
                table.create(history._connection, history._moments)
                own = {column.name: column.sql for column in table.columns}
                history.tables[table.name] = own | {column.name: column.sql for column in CONSTANTS}
        except BaseException:
            history._connection.close()
            raise
        return history

    @property
    def _moments(self) -> str:
        """SQL of the moments that every expression may use."""
        start, end = (_sql(value) for value in (self.metadata.fault_start_s, self.metadata.fault_end_s))
        return f"{start} AS {FAULT_START}, {end} AS {FAULT_END}"

    def _add(self, file: Path) -> None:
        import duckdb

        name = quoted(file.stem)
        try:
            self._connection.execute(
                f"CREATE TABLE {name} AS SELECT *, {self._moments} FROM read_parquet({literal(str(file))})"
            )
        except duckdb.Error as error:
            raise BrokenHistory(f"{file}: cannot be read: {_first_line(error)}") from error
        described = self._connection.execute(f"DESCRIBE {name}").fetchall()
        self.tables[file.stem] = {str(row[0]): str(row[1]) for row in described}

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of one query over the tables. Raises HistoryError with the first line of what is wrong."""
        import duckdb

        try:
            if len(duckdb.extract_statements(sql)) != 1:
                raise HistoryError("holds more than one SQL statement; remove the ';'")
            with interrupted_after(self._connection, MAX_QUERY_S):
                return self._connection.execute(sql).fetchall()
        except duckdb.InterruptException:
            raise HistoryError(f"takes longer than {MAX_QUERY_S:g} s") from None
        except duckdb.Error as error:
            raise HistoryError(_first_line(error)) from error

    def kind(self, expression: str, table: str) -> str:
        """The SQL type of an expression over a table's columns. Raises HistoryError, also for no such table."""
        if table not in self.tables:
            raise HistoryError(f"there is no table '{table}'; there are {', '.join(self.tables) or 'none'}")
        key = (expression, tuple(self.tables[table].items()))
        if key not in _KINDS:
            self.check(expression, table)
            described = self.query(f"DESCRIBE SELECT ({expression}\n) AS value FROM {quoted(table)}")
            if len(described) != 1:
                raise HistoryError(f"{expression} is more than one expression")
            if len(_KINDS) >= MAX_KINDS:
                _KINDS.clear()
            _KINDS[key] = str(described[0][1])
        return _KINDS[key]

    def check(
        self, expression: str, table: str, *, aggregates: bool = False, also: tuple[str, ...] = ()
    ) -> None:
        """Raises HistoryError for what an expression over a row of the table may not hold, or over all rows where
        `aggregates` are allowed. `also`: columns that a query adds to those of the table."""
        import duckdb

        try:
            check_sql(expression, (*self.tables.get(table, ()), *also), aggregates=aggregates)
        except InvalidValue as error:
            raise HistoryError(f"{expression}: {error}") from None
        except duckdb.Error as error:
            raise HistoryError(_first_line(error)) from error

    def close(self) -> None:
        if self._is_spare and not _SPARE:
            for name in self.tables:
                self._connection.execute(f"DROP TABLE {quoted(name)}")
            _SPARE.append(self._connection)
        else:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _sql(value: float | None) -> str:
    return "CAST(NULL AS DOUBLE)" if value is None else f"CAST({value!r} AS DOUBLE)"


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{error.title}: {'.'.join(map(str, first['loc']))} {first['msg']}".replace(":  ", ": ")
    return f"{type(error).__name__}: {error}"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
