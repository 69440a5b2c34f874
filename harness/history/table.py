"""One table of the history: rows of a dataclass to typed columns, their canonical bytes, a Parquet file.

Columns go to DuckDB as NumPy arrays and are hashed as little-endian numbers and UTF-8 text, so 100,000 rows
take a fraction of a second and the hash depends on nothing but the values.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.history.columns import Column
from harness.history.metadata import HistoryError

if TYPE_CHECKING:
    import numpy as np
    from duckdb import DuckDBPyConnection

_ACCEPTED: dict[str, tuple[type, ...]] = {
    "DOUBLE": (float, int),
    "BIGINT": (int,),
    "BOOLEAN": (bool,),
    "VARCHAR": (str,),
}
_DTYPES = {"DOUBLE": "<f8", "BIGINT": "<i8", "BOOLEAN": "?", "VARCHAR": "O"}
_FILLS: dict[str, Any] = {"DOUBLE": 0.0, "BIGINT": 0, "BOOLEAN": False, "VARCHAR": ""}


class Table:
    """Rows as columns. `rows`: one tuple a row, values in the order of `known`.

    Raises HistoryError for a value that its column cannot hold: another type, None where it is not allowed,
    an integer beyond 64 bits. A float that is not finite is null where the column may be null.
    """

    def __init__(self, name: str, known: Sequence[Column], rows: Sequence[Sequence[Any]]) -> None:
        self.name = name
        self.columns = tuple(known)
        self.count = len(rows)
        found = zip(*rows, strict=True) if rows else (() for _ in known)
        self._packed = [_pack(name, column, values) for column, values in zip(known, found, strict=True)]

    def canonical(self) -> bytes:
        """Equal for equal tables and for no others: the name, every column's name and type, all values."""
        parts = [_sized(self.name.encode()), struct.pack("<qq", len(self.columns), self.count)]
        for column, (values, missing) in zip(self.columns, self._packed, strict=True):
            parts += [_sized(column.name.encode()), _sized(column.sql.encode()), missing.tobytes()]
            if column.sql == "VARCHAR":
                encoded = [value.encode() for value in values.tolist()]
                parts.append(struct.pack(f"<{self.count}q", *map(len, encoded)))
                parts += encoded
            else:
                parts.append(values.tobytes())
        return b"".join(parts)

    def write(self, file: Path, connection: DuckDBPyConnection) -> None:
        """As a Parquet file, rows in their order."""
        target = f"{literal(str(file))} (FORMAT parquet, COMPRESSION zstd)"
        written = self._execute(connection, lambda rows: f"COPY ({rows}) TO {target}").fetchone()
        if written != (self.count,):
            raise HistoryError(f"table {self.name}: {self.count} rows were recorded, {written} were written")

    def create(self, connection: DuckDBPyConnection, also: str) -> None:
        """As a table of a database, rows in their order. `also`: SQL of more columns."""
        self._execute(
            connection, lambda rows: f"CREATE TABLE {quoted(self.name)} AS SELECT *, {also} FROM ({rows})"
        )

    def _execute(self, connection: DuckDBPyConnection, statement: Callable[[str], str]) -> DuckDBPyConnection:
        """Execute a statement about the rows, which it gets as a query."""
        import numpy as np

        arrays = {
            f"c{index}": np.ma.masked_array(values, mask=missing) if missing.any() else values
            for index, (values, missing) in enumerate(self._packed)
        }
        chosen = ", ".join(
            f"CAST(c{index} AS {column.sql}) AS {quoted(column.name)}"
            for index, column in enumerate(self.columns)
        )
        connection.register("packed", arrays)
        done = connection.execute(statement(f"SELECT {chosen} FROM packed"))
        connection.unregister("packed")
        return done


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """An SQL string."""
    return "'" + text.replace("'", "''") + "'"


def _sized(data: bytes) -> bytes:
    return struct.pack("<q", len(data)) + data


def _pack(table: str, column: Column, values: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The values, a neutral one in the place of null, and which are null."""
    import numpy as np

    _check_types(table, column, values)
    missing = np.fromiter((value is None for value in values), dtype=bool, count=len(values))
    if missing.any():
        fill = _FILLS[column.sql]
        values = [fill if value is None else value for value in values]
    try:
        array = np.array(values, dtype=_DTYPES[column.sql])
        if column.sql == "VARCHAR":
            # Text that is no Unicode would fail later, and say less.
            "".join(values).encode()
    except (OverflowError, UnicodeError) as error:
        raise HistoryError(f"table {table}: {column.name}: {error}") from error
    if column.sql == "DOUBLE":
        array += 0.0  # -0.0 is 0.0
        unreal = ~np.isfinite(array)
        if unreal.any():
            if not column.nullable:
                raise HistoryError(
                    f"table {table}: {column.name} is {array[unreal][0]}; "
                    "a column that is not '| None' needs a number"
                )
            missing |= unreal
            array[unreal] = 0.0
    return array, missing


def _check_types(table: str, column: Column, values: Sequence[Any]) -> None:
    accepted = _ACCEPTED[column.sql]
    for kind in dict.fromkeys(map(type, values)):
        if kind is type(None):
            if column.nullable:
                continue
        elif issubclass(kind, accepted) and (column.sql == "BOOLEAN" or not issubclass(kind, bool)):
            continue
        found = next(value for value in values if type(value) is kind)
        wanted = " or ".join(one.__name__ for one in accepted) + (" or None" if column.nullable else "")
        raise HistoryError(
            f"table {table}: {column.name} is {found!r} ({kind.__name__}); it must be {wanted}"
        )
