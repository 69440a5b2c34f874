"""Whether the charts that a system declares can be drawn from its tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from harness.diagnostics import Code, Diagnostic, unknown_name
from harness.history.columns import EVENT_COLUMNS, Column, TableError, columns
from harness.history.expressions import check_expression
from harness.history.files import EVENTS
from harness.system import Chart, StateChart, System


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
