"""Whether the charts that a system declares can be drawn from its tables."""

from __future__ import annotations

from collections.abc import Iterator

from harness.history.columns import EVENT_COLUMNS, TableError, check_expression, columns
from harness.history.files import EVENTS
from harness.system import Chart, StateChart, System
from harness.text import did_you_mean


def check_tables(system: System) -> None:
    """Raise TableError for a table or a chart of the system that is not valid; the message names it."""
    tables = {EVENTS: EVENT_COLUMNS, **{name: columns(row_type) for name, row_type in system.tables.items()}}
    seen: set[str] = set()
    for chart in system.charts:
        what = f"chart '{chart.name}'"
        if chart.name in seen:
            raise TableError(f"{what} is declared twice; names are unique")
        seen.add(chart.name)
        if chart.table not in tables:
            hint = did_you_mean(chart.table, tables, before="; ")
            raise TableError(f"{what}: no table '{chart.table}'; there are {', '.join(tables)}{hint}")
        for field, expression, kind in _expressions(chart):
            # Of a group and a state any type will do: whether one is null is always a condition.
            tested = f"({expression}\n) IS NULL" if kind == "any" else expression
            if problem := check_expression(tested, tables[chart.table], numeric=kind == "number"):
                raise TableError(f"{what}: {field}: {expression}: {problem}")


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
