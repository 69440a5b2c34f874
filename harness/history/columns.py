"""What columns a table of the history has: from the row dataclass that a system declares."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from dataclasses import dataclass
from typing import Any

from harness.diagnostics import Code, Diagnostic
from harness.errors import InvalidInput

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

CLIENT_COLUMNS = (
    Column("client", "VARCHAR", False),
    Column("workload", "VARCHAR", False),
    Column("group", "VARCHAR", False),
    Column("arrived_s", "DOUBLE", False),
    Column("ended_s", "DOUBLE", True),
    Column("outcome", "VARCHAR", False),
    Column("error", "VARCHAR", True),
    Column("rows", "BIGINT", False),
)
"""`outcome`: see `harness.workload.records.ClientOutcome`. `rows`: how many rows of the system's tables it recorded."""

RECORDED_BY = Column("recorded_by", "VARCHAR", False)
"""In every declared table: the host (client or node) that recorded the row."""

FAULT_START, FAULT_END = "fault_start_s", "fault_end_s"
CONSTANTS = (Column(FAULT_START, "DOUBLE", True), Column(FAULT_END, "DOUBLE", True))
"""Usable in every expression: when the first fault began and the last one ended; null without faults."""


class TableError(InvalidInput):
    """A row class cannot be a table of the history."""


@functools.lru_cache(maxsize=1024)
def columns(row_type: type) -> tuple[Column, ...]:
    """The columns of a declared table: its fields in their order, then `RECORDED_BY`. Raises TableError."""
    found = field_columns(row_type)
    if any(column.name == RECORDED_BY.name for column in found):
        raise _table_error(
            f"{row_type.__name__} has a field '{RECORDED_BY.name}'", "the harness adds that column itself"
        )
    return (*found, RECORDED_BY)


def field_columns(row_type: type) -> tuple[Column, ...]:
    """The columns that are fields of a row class, in their order. Raises TableError."""
    if not dataclasses.is_dataclass(row_type):
        raise _table_error(f"{row_type.__name__} is not a dataclass")
    hints = typing.get_type_hints(row_type)
    found = tuple(_column(row_type, field.name, hints[field.name]) for field in dataclasses.fields(row_type))
    if not any(column == Column("t_s", "DOUBLE", False) for column in found):
        raise _table_error(
            f"{row_type.__name__} needs a field t_s: float", "the time at which the row was determined"
        )
    return found


def _table_error(found: str, allowed: str = "") -> TableError:
    return TableError([Diagnostic(Code.BAD_SYSTEM, found, allowed)])


def _column(row_type: type, name: str, hint: Any) -> Column:
    nullable = False
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        parts = [part for part in typing.get_args(hint) if part is not type(None)]
        nullable = len(parts) < len(typing.get_args(hint))
        hint = parts[0] if len(parts) == 1 else hint
    if hint not in _SQL:
        raise _table_error(
            f"{row_type.__name__}.{name} is {hint}", "allowed: str, int, float, bool and X | None of these"
        )
    return Column(name, _SQL[hint], nullable)
