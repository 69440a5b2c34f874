"""Whether SQL expressions fit their tables: those of files, and those of the charts that a system declares."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.diagnostics import Code, Diagnostic, unknown_name
from harness.errors import InvalidValue
from harness.history.columns import CONSTANTS, EVENT_COLUMNS, Column, TableError, columns
from harness.history.files import EVENTS
from harness.history.sql import bad_expression, check_sql, interrupted_after, shared_connection
from harness.history.table import quoted
from harness.history.write import RESERVED_TABLES
from harness.system import Chart, StateChart, System
from harness.text import did_you_mean, quote


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


def _check(expression: str, known: tuple[Column, ...], numeric: bool) -> None:
    """Raises InvalidValue."""
    if not expression.strip():
        raise bad_expression("is empty", "expected an SQL expression")
    kind = _kind_of(expression, known)
    if numeric and not kind.removeprefix("U").startswith(_NUMBERS):
        raise bad_expression(f"is {_describe_kind(kind)}", "must be a number")
    if not numeric and kind != "BOOLEAN":
        raise bad_expression(f"is {_describe_kind(kind)}", "must be true or false, such as a comparison")


@functools.lru_cache(maxsize=4096)
def _kind_of(expression: str, known: tuple[Column, ...]) -> str:
    """The DuckDB type of an expression. Raises InvalidValue."""
    import duckdb

    names = tuple(column.name for column in known)
    fields = ", ".join(f"{quoted(column.name)} {column.sql}" for column in known)
    try:
        check_sql(expression, names)
        with shared_connection() as connection, interrupted_after(connection, MAX_SECONDS):
            connection.execute(f"CREATE OR REPLACE TABLE {_ANY_TABLE} ({fields})")
            connection.execute(f"INSERT INTO {_ANY_TABLE} VALUES ({', '.join(['NULL'] * len(names))})")
            # As a condition it can be no aggregate. Running it on a row of nulls finds constants that cannot be what
            # they are compared with.
            query = f"SELECT ({expression}\n) FROM {_ANY_TABLE} WHERE ({expression}\n) IS NOT NULL"
            described: Sequence[Any] = connection.execute(query).description or ()
    except duckdb.InterruptException:
        raise bad_expression(f"takes longer than {MAX_SECONDS:g} s") from None
    except duckdb.Error as error:
        raise _translate(str(error), expression, names) from error
    return str(described[0][1])


MAX_SECONDS = 5.0
"""How long an expression may take on one row."""

_ANY_TABLE = "_table_of_the_slo"
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
        return bad_expression(f"unknown column '{name}'", f"allowed: {', '.join(names)}", hint)
    if missing := re.match(r"(?:Scalar )?Function with name (\S+) does not exist", first):
        near = next((line for line in lines if line.startswith("Did you mean")), "")
        return bad_expression(
            f"unknown function '{missing[1]}'", "see DuckDB's functions", near[:1].lower() + near[1:]
        )
    near_word = re.search(r'syntax error at or near "(.*)"', first)
    if near_word and near_word[1] in names:
        return bad_expression(
            "is not an SQL expression",
            f"'{near_word[1]}' is a word of SQL",
            f'write the column in double quotes: "{near_word[1]}"',
        )
    return bad_expression(f"is not an SQL expression: {first}" if "syntax error" in first else first)


def check_tables(system: System) -> None:
    """Raise TableError for the tables and the charts of the system that are not valid; messages name them."""
    problems = [
        Diagnostic(
            Code.BAD_SYSTEM,
            f"system {system.name} declares a table '{name}'",
            "the harness records a table of that name itself",
        )
        for name in system.tables
        if name in RESERVED_TABLES
    ]
    tables = {EVENTS: EVENT_COLUMNS, **{name: columns(row_type) for name, row_type in system.tables.items()}}
    names = [chart.name for chart in system.charts]
    problems += [
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
