"""Whether an SLO can be computed from a system's tables, and whether its threshold fits what it measures."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnostics import Diagnostic, Path, unknown_name
from harness.history.columns import EVENT_COLUMNS, Column, columns
from harness.history.expressions import check_expression
from harness.history.files import EVENTS
from harness.sli.base import Slo
from harness.system import System
from harness.system.processor import PROCESSORS, ProcessorSlice


def check_slo(slo: Slo, system: System | None) -> Iterator[Diagnostic]:
    """Everything about an SLO that does not fit, at paths below it.

    `system` None: it could not be loaded, and its tables are not known.
    """
    yield from slo.check()
    if system is None:
        return
    known = table_columns(system, slo.table)
    if known is None:
        yield _unknown_table(system, slo.table)
        return
    for key in ("where", *slo.conditions, *slo.numbers, "at"):
        expression = getattr(slo, key)
        if expression is not None:
            numeric = key in (*slo.numbers, "at")
            yield from check_sql((key,), expression, known, numeric=numeric)
    names = [column.name for column in known]
    for key in ("by", "cluster"):
        column = getattr(slo, key)
        if column is not None and column not in names:
            yield unknown_name("column", column, names, f"table {slo.table}").below((key,))


def check_where(where: str | None, slo: Slo, system: System | None) -> Iterator[Diagnostic]:
    """Whether a gate's or an arm's `where` is a condition on the rows of the SLO's table."""
    known = None if system is None else table_columns(system, slo.table)
    if where is not None and known is not None:
        yield from check_sql(("where",), where, known)


def check_sql(
    path: Path, expression: str, known: tuple[Column, ...], *, numeric: bool = False
) -> Iterator[Diagnostic]:
    """Whether it is an SQL expression over a row with these columns: a condition, or a number."""
    if problem := check_expression(expression, known, numeric=numeric):
        yield problem.below(path)


def table_columns(system: System, table: str) -> tuple[Column, ...] | None:
    """The columns of a table of the system, or of the events; None when there is no such table."""
    if table == EVENTS:
        return EVENT_COLUMNS
    row_type = ProcessorSlice if table == PROCESSORS else system.tables.get(table)
    return None if row_type is None else columns(row_type)


def check_table_expression(
    system: System | None, table: str, expression: str, *, key: str, numeric: bool = False
) -> Iterator[Diagnostic]:
    """Whether the table exists and the expression fits its rows: a number, or a condition. For kinds of gates.

    `key`: the YAML key of the expression; that of the table is `table`. `system` None: nothing is known.
    """
    if system is None:
        return
    known = table_columns(system, table)
    if known is None:
        yield _unknown_table(system, table)
    else:
        yield from check_sql((key,), expression, known, numeric=numeric)


def _unknown_table(system: System, table: str) -> Diagnostic:
    tables = [*system.tables, EVENTS, PROCESSORS]
    return unknown_name("table", table, tables, f"system {system.name}").below(("table",))
