"""What columns a table of the history has: from the row dataclass that a system declares."""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.diagnostics import Code, Diagnostic, unknown_name
from harness.errors import InvalidInput, InvalidValue
from harness.history.files import EVENTS
from harness.system import Chart, StateChart, System
from harness.text import did_you_mean, quote

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


class TableError(InvalidInput):
    """A row class cannot be a table of the history."""


def columns(row_type: type) -> tuple[Column, ...]:
    """The columns of a declared table, in the order of the fields. Raises TableError."""
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


def check_expression(expression: str, known: Sequence[Column], *, numeric: bool = False) -> Diagnostic | None:
    """The mistake in an SQL expression over one row with these columns, or None.

    It must be one expression and nothing else (no statement, no aggregate, no window), true or false, or a
    number where `numeric`.
    """
    try:
        _check(expression, (*known, *CONSTANTS), numeric)
    except InvalidValue as error:
        # In double quotes, for it may well contain single ones.
        return replace(error.diagnostic, found=f'"{quote(expression)[1:-1]}": {error.diagnostic.found}')
    return None


def _bad(found: str, allowed: str = "", hint: str = "") -> InvalidValue:
    return InvalidValue(Code.BAD_EXPRESSION, found, allowed, hint)


def _check(expression: str, known: tuple[Column, ...], numeric: bool) -> None:
    """Raises InvalidValue."""
    names = [column.name for column in known]
    if not expression.strip():
        raise _bad("is empty", "expected an SQL expression")
    changing = _CHANGING.search(re.sub(r"'(?:[^']|'')*'", "''", expression))
    if changing is not None and changing[0].lower() not in names:
        raise _bad(f"'{changing[0]}' is not deterministic", "judging again must give the same result")
    kind = _kind_of(expression, known)
    if numeric and not kind.removeprefix("U").startswith(_NUMBERS):
        raise _bad(f"is {_describe_kind(kind)}", "must be a number")
    if not numeric and kind != "BOOLEAN":
        raise _bad(f"is {_describe_kind(kind)}", "must be true or false, such as a comparison")


@functools.lru_cache(maxsize=4096)
def _kind_of(expression: str, known: tuple[Column, ...]) -> str:
    """The DuckDB type of an expression. Raises InvalidValue."""
    import duckdb

    names = [column.name for column in known]
    fields = ", ".join(f'"{column.name}" {column.sql}' for column in known)
    kinds = []
    with duckdb.connect(config={"threads": 1, "enable_external_access": "false"}) as connection:
        connection.execute(f"CREATE TABLE {_ANY_TABLE} ({fields})")
        connection.execute(f"INSERT INTO {_ANY_TABLE} VALUES ({', '.join(['NULL'] * len(names))})")
        try:
            # What would close the parenthesis to add SQL of its own does not fit between brackets. As a
            # condition it can be no aggregate. Comments end with the line. Running it on a row of nulls
            # finds constants that cannot be what they are compared with.
            for query in (
                f"SELECT ({expression}\n) FROM {_ANY_TABLE} WHERE ({expression}\n) IS NOT NULL",
                f"SELECT [{expression}\n] FROM {_ANY_TABLE}",
            ):
                if len(connection.extract_statements(query)) != 1:
                    raise _bad("is more than one statement", "only an expression is allowed")
                described = connection.execute(query).description or ()
                if len(described) != 1:
                    raise _bad("is more than one value", "only one expression is allowed")
                kinds.append(str(described[0][1]))
        except duckdb.Error as error:
            raise _translate(str(error), expression, names) from error
    return kinds[0]


_ANY_TABLE = "_table_of_the_slo"
_CHANGING = re.compile(
    r"\b(random|setseed|uuid|uuidv4|uuidv7|gen_random_uuid|now|today|current_date|current_time"
    r"|current_timestamp|localtime|localtimestamp|current_localtime|current_localtimestamp|transaction_timestamp"
    r"|get_current_time|get_current_timestamp|current_setting|nextval|currval|txid_current|version)\b",
    re.IGNORECASE,
)
"""DuckDB's functions whose value is not one of their arguments alone."""
_NUMBERS = ("DOUBLE", "FLOAT", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "DECIMAL")


def _describe_kind(sql: str) -> str:
    if sql.startswith(_NUMBERS):
        return "a number"
    return {"VARCHAR": "text", "BOOLEAN": "true or false"}.get(sql, sql)


def _translate(message: str, expression: str, names: Sequence[str]) -> InvalidValue:
    """DuckDB's error in fewer words, with the columns that there are."""
    lines = message.splitlines()
    first = re.sub(r"^(Parser|Binder|Catalog|Conversion|Invalid Input) Error: ", "", lines[0])
    if missing := re.match(r'Referenced column "(.*)" not found', first):
        name = missing[1]
        hint = did_you_mean(name, names)
        if not hint and f'"{name}"' in expression:
            hint = "text takes single quotes"
        return _bad(f"unknown column '{name}'", f"allowed: {', '.join(names)}", hint)
    if missing := re.match(r"(?:Scalar )?Function with name (\S+) does not exist", first):
        near = next((line for line in lines if line.startswith("Did you mean")), "")
        return _bad(f"unknown function '{missing[1]}'", "see DuckDB's functions", near[:1].lower() + near[1:])
    near_word = re.search(r'syntax error at or near "(.*)"', first)
    if near_word and near_word[1] in names:
        return _bad(
            "is not an SQL expression",
            f"'{near_word[1]}' is a word of SQL",
            f'write the column in double quotes: "{near_word[1]}"',
        )
    return _bad(f"is not an SQL expression: {first}" if "syntax error" in first else first)


def check_tables(system: System) -> None:
    """Raise TableError for the tables and the charts of the system that are not valid; messages name them."""
    tables = {EVENTS: EVENT_COLUMNS, **{name: columns(row_type) for name, row_type in system.tables.items()}}
    names = [chart.name for chart in system.charts]
    problems = [
        Diagnostic(Code.DUPLICATE, f"duplicate chart name '{name}'")
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    for chart in system.charts:
        for problem in _problems(chart, tables):
            problems.append(replace(problem, found=f"chart '{chart.name}': {problem.found}", path=()))
    if problems:
        raise TableError(problems)


def _problems(chart: Chart | StateChart, tables: Mapping[str, Sequence[Column]]) -> Iterator[Diagnostic]:
    if chart.table not in tables:
        yield unknown_name("table", chart.table, tables)
        return
    for field, expression, kind in _expressions(chart):
        # Of a group and a state any type will do: whether one is null is always a condition.
        tested = f"({expression}\n) IS NULL" if kind == "any" else expression
        if problem := check_expression(tested, tables[chart.table], numeric=kind == "number"):
            yield replace(problem, found=f"{field}: {problem.found}")


def _expressions(chart: Chart | StateChart) -> Iterator[tuple[str, str, str]]:
    """Each field that holds SQL: its name, the expression, and its kind: `number`, `condition` or `any`."""
    if chart.at != "t_s":  # which every table has
        yield "at", chart.at, "number"
    if chart.where != "true":
        yield "where", chart.where, "condition"
    if chart.by is not None:
        yield "by", chart.by, "any"
    if isinstance(chart, StateChart):
        yield "value", chart.value, "any"
    else:
        yield "value", chart.value, "condition" if chart.shows == "share" else "number"
