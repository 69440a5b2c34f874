"""What columns a table of the history has: from the row dataclass that a system declares."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_SQL = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN"}


@dataclass(frozen=True, slots=True)
class Column:
    """`sql`: the DuckDB type."""

    name: str
    sql: str
    nullable: bool


EVENT_COLUMNS = (
    Column("t_s", "DOUBLE", False),
    Column("host", "VARCHAR", False),
    Column("event", "VARCHAR", False),
    Column("fields", "VARCHAR", False),
)
"""`fields` is a JSON object: `fields->>'session'`."""

FAULT_START, FAULT_END = "fault_start_s", "fault_end_s"
CONSTANTS = (Column(FAULT_START, "DOUBLE", True), Column(FAULT_END, "DOUBLE", True))
"""Usable in every expression: when the first fault began and the last one ended; null without faults."""


class BadTable(TypeError):
    """A row class that cannot be a table; the message says which field and what is allowed."""


def columns(row_type: type) -> tuple[Column, ...]:
    """The columns of a declared table, in the order of the fields. Raises BadTable."""
    if not dataclasses.is_dataclass(row_type):
        raise BadTable(f"{row_type.__name__} is not a dataclass")
    hints = typing.get_type_hints(row_type)
    found = tuple(_column(row_type, field.name, hints[field.name]) for field in dataclasses.fields(row_type))
    if not any(column == Column("t_s", "DOUBLE", False) for column in found):
        raise BadTable(f"{row_type.__name__} needs a field t_s: float, the moment the row was determined")
    return found


def _column(row_type: type, name: str, hint: Any) -> Column:
    nullable = False
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        parts = [part for part in typing.get_args(hint) if part is not type(None)]
        nullable = len(parts) < len(typing.get_args(hint))
        hint = parts[0] if len(parts) == 1 else hint
    if hint not in _SQL:
        raise BadTable(
            f"{row_type.__name__}.{name} is {hint}; allowed are str, int, float, bool and X | None of these"
        )
    return Column(name, _SQL[hint], nullable)


def check_expression(expression: str, known: Sequence[Column], *, numeric: bool = False) -> str | None:
    """What is wrong with an SQL expression over these columns, or None.

    It must be one expression (nothing after it), and boolean, or numeric where asked.
    """
    import duckdb

    names = [column.name for column in (*known, *CONSTANTS)]
    fields = ", ".join(f'"{column.name}" {column.sql}' for column in (*known, *CONSTANTS))
    connection = duckdb.connect(config={"threads": 1, "enable_external_access": "false"})
    try:
        connection.execute(f"CREATE TABLE rows ({fields})")
        try:
            statements = duckdb.extract_statements(f"SELECT ({expression}\n) AS value FROM rows")
            if len(statements) != 1 or ";" in expression:
                return "holds more than one expression; remove the ';'"
            described = connection.execute(f"DESCRIBE SELECT ({expression}\n) AS value FROM rows").fetchall()
        except duckdb.Error as error:
            return _said(str(error), names)
        kind = str(described[0][1])
        if (
            numeric
            and kind not in ("DOUBLE", "FLOAT", "BIGINT", "INTEGER", "HUGEINT")
            and "DECIMAL" not in kind
        ):
            return f"is {kind}; it must be a number"
        if not numeric and kind != "BOOLEAN":
            return f"is {kind}; it must be true or false, such as a comparison"
        return None
    finally:
        connection.close()


def _said(message: str, names: Sequence[str]) -> str:
    first = message.splitlines()[0]
    if "Referenced column" in first and '"' in first:
        missing = first.split('"')[1]
        near = difflib.get_close_matches(missing, names, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        return f"no column '{missing}'; the table has {', '.join(names)}{hint}"
    return first.removeprefix("Parser Error: ").removeprefix("Binder Error: ")
