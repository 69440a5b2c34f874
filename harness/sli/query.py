"""The SLI query: SQL over one table of a history. Judgement and charts both read from it.

Every expression is checked against the recorded table before it is used, so that a mistyped column or a
number taken for a condition is an error, whoever wrote the experiment and however long ago.

The unknown is the worst. A row counts as bad, and as unknown, when `where` is null for it, when what is measured is
null or not finite, and, in a window, when its moment is null or not finite: it could lie inside.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.experiment.model import SloDefinition
from harness.history.metadata import HistoryError
from harness.history.read import History
from harness.history.table import quoted
from harness.sli.clients import CLIENTS, cluster_sql, missing_clients
from harness.sli.clusters import Counts
from harness.sli.finite import finite

_NUMBERS = ("DOUBLE", "FLOAT", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "DECIMAL")

GROUP, CLUSTER, AT, VALUE, UNKNOWN = "_sli_group", "_sli_cluster", "_sli_at", "_sli_value", "_sli_unknown"
"""The columns of an SLI query: the group (text), which rows depend on each other (text), the moment in seconds (null
where it is unknown), what is measured (never null: the worst where it is unknown), and whether the row counts as the
worst because it is unknown."""
_UNDER_WAY = "_sli_under_way"


@dataclass(frozen=True, slots=True)
class Window:
    """Which rows count, by when they were determined: from `start_s` on, before `end_s`; None is open.

    `under_way`: also the first row after `end_s` of each client that arrived before it: it was under way then.
    """

    start_s: float | None = None
    end_s: float | None = None
    under_way: bool = False

    @property
    def condition(self) -> str:
        """SQL over an SLI query, never null. A row without a moment could lie in every window but `NEVER`."""
        if self == NEVER:
            return "false"
        parts = []
        if self.start_s is not None:
            parts.append(f"{AT} >= {_double(self.start_s)}")
        if self.end_s is not None:
            before = f"{AT} < {_double(self.end_s)}"
            parts.append(f"({before} OR {_UNDER_WAY})" if self.under_way else before)
        return f"coalesce({' AND '.join(parts) or 'true'}, true)"

    @property
    def everything(self) -> bool:
        """Whether all rows count, whenever they were determined."""
        return self.start_s is None and self.end_s is None

    def __and__(self, other: Window) -> Window:
        """The time that is in both."""
        starts = [one for one in (self.start_s, other.start_s) if one is not None]
        ends = [one for one in (self.end_s, other.end_s) if one is not None]
        return Window(max(starts, default=None), min(ends, default=None), self.under_way or other.under_way)


EVERYTHING = Window()
NEVER = Window(math.inf)
"""No row at all: the time after a fault that did not happen."""


def windows(history: History) -> dict[str, Window]:
    """The windows that a gate's `during` names. Without faults all time is before them."""
    start, end = history.metadata.fault_start_s, history.metadata.fault_end_s
    if start is None:
        return {"all": Window(), "before": Window(), "fault": NEVER, "after": NEVER}
    return {
        "all": Window(),
        "before": Window(None, start),
        "fault": Window(start, end),
        "after": Window(end, None),
    }


@dataclass(frozen=True, slots=True)
class ClusteredRows:
    """The rows of one group in a window. `values`: what was measured, sorted, where it was wanted.

    `missing`: how many clients may have had one row more.
    """

    group: str | None
    counts: Counts
    unknown: int
    values: tuple[float, ...]
    missing: int

    def __add__(self, other: ClusteredRows) -> ClusteredRows:
        """The rows of the same group in two runs; clients of different runs are different ones."""
        return ClusteredRows(
            self.group,
            self.counts + other.counts,
            self.unknown + other.unknown,
            tuple(sorted((*self.values, *other.values))),
            self.missing + other.missing,
        )


@dataclass(frozen=True, slots=True)
class SliQuery:
    """The rows that an SLO is about.

    `value`: SQL of what is measured in each, null where it is unknown; checked by the caller. `worst`: SQL of the worst
    value.
    """

    history: History
    slo: SloDefinition
    value: str
    worst: str
    where: str | None

    def rows(self, select: str, window: Window = EVERYTHING) -> list[tuple[Any, ...]]:
        """`select`: a list over the columns of an SLI query, the first of which is grouped and ordered by.

        `window`: of which the rows will be counted; only then a missing moment makes a row unknown.

        Raises HistoryError for what is not a table, a column or a condition.
        """
        return self.history.query(f"SELECT {select} FROM ({self._source(window)}) GROUP BY 1 ORDER BY 1")

    def _source(self, window: Window) -> str:
        self._check()
        slo = self.slo
        conditions = [
            f"({finite(self.history, slo.table, condition)}\n)"
            for condition in (slo.where, self.where)
            if condition is not None
        ]
        belongs = " AND ".join(conditions) or "true"
        known = f"isfinite(CAST(({slo.at}\n) AS DOUBLE))"
        unknown = f"({belongs}) IS NULL OR {self.value} IS NULL"
        if not window.everything:
            unknown += f" OR NOT coalesce({known}, false)"
        source = (
            f"SELECT {self._group()} AS {GROUP}, {cluster_sql(self.history, slo)} AS {CLUSTER}, "
            f"CASE WHEN {known} THEN ({slo.at}\n) END AS {AT}, "
            f"{self.value} AS measured, ({unknown}) AS {UNKNOWN} "
            f"FROM {quoted(slo.table)} WHERE coalesce({belongs}, true)"
        )
        return (
            f"SELECT *, CASE WHEN {UNKNOWN} THEN {self.worst} ELSE measured END AS {VALUE}, "
            f"{self._under_way(window)} AS {_UNDER_WAY} FROM ({source})"
        )

    def _under_way(self, window: Window) -> str:
        if not window.under_way or window.end_s is None:
            return "false"
        after = f"{AT} >= {_double(window.end_s)}"
        if CLIENTS not in self.history.tables:
            return after  # a history from before clients were recorded: it may have been under way
        return (
            f"({after} AND {CLUSTER} IN (SELECT client FROM {CLIENTS} WHERE arrived_s < {_double(window.end_s)}) "
            f"AND row_number() OVER (PARTITION BY {CLUSTER}, {after} ORDER BY {AT}) = 1)"
        )

    def by_cluster(self, window: Window, bad: str, *, values: bool = False) -> Iterator[ClusteredRows]:
        """The rows inside the window for each group, as `by_group` gives them. `bad`: SQL over VALUE.

        `values`: whether what is measured is wanted, too.
        """
        missing = missing_clients(self.history, self.slo, window.start_s, window.end_s)
        inside = f"FILTER (WHERE {window.condition})"
        measured = f"list({VALUE}) {inside}" if values else "NULL::DOUBLE[]"
        counted = (
            f"SELECT {GROUP}, count(*) {inside} AS n, count(CASE WHEN {bad} THEN 1 END) {inside} AS b, "
            f"count(CASE WHEN {UNKNOWN} THEN 1 END) {inside} AS u, {measured} AS measured "
            f"FROM ({self._source(window)}) GROUP BY {GROUP}, {CLUSTER}"
        )
        rows = self.history.query(
            f"SELECT {GROUP}, sum(n), sum(b), count(*) FILTER (WHERE n > 0), sum(n * n), sum(b * b), sum(n * b), "
            f"sum(u), list_sort(flatten(list(measured))) FROM ({counted}) GROUP BY 1 ORDER BY 1"
        )
        groups = {str(group) for group, *_ in rows} | {*self.silent_groups()}
        of_clients = groups <= {*self.history.metadata.groups}
        found = [
            ClusteredRows(
                None if self.slo.by is None else str(group),
                Counts(*(int(count) for count in counts)),
                int(unknown),
                tuple(measured or ()),
                missing.get(str(group) if self.slo.by is not None and of_clients else None, 0),
            )
            for group, *counts, unknown, measured in rows
        ]
        nothing = Counts(0, 0, 0, 0, 0, 0)
        found += [
            ClusteredRows(group, nothing, 0, (), missing.get(group, 0)) for group in self.silent_groups()
        ]
        # Without rows there is no group either.
        yield from sorted(found, key=lambda one: one.group or "")

    def by_group(self, window: Window, *aggregates: str) -> Iterator[tuple[Any, ...]]:
        """Group (None unless the SLO has `by`), and the aggregates of its rows inside the window.

        The groups are those of the whole history, in order, so that one that fell silent is not absent. A group
        whose clients arrive and that has no row in the table has None for each aggregate.
        """
        inside = ", ".join(f"{one} FILTER (WHERE {window.condition})" for one in aggregates)
        rows = self.rows(f"{GROUP}, {inside}", window)
        if self.slo.by is None:
            yield from ((None, *found) for _, *found in rows)
            return
        silent = [(group, *[None] * len(aggregates)) for group in self.silent_groups()]
        yield from sorted(
            [(str(group), *found) for group, *found in rows] + silent, key=lambda row: str(row[0])
        )

    def silent_groups(self) -> tuple[str, ...]:
        """The groups of clients that arrive and have no row in the table, whatever `where` is.

        `by` is known to be the group of clients when each of its values is one of those groups.
        """
        by, known = self.slo.by, self.history.metadata.groups
        if by is None or not known:
            return ()
        rows = self.history.query(
            f"SELECT DISTINCT CAST(({self._by(by)}\n) AS VARCHAR) FROM {quoted(self.slo.table)}"
        )
        seen = {str(value) for (value,) in rows if value is not None}
        return tuple(group for group in known if group not in seen) if seen and seen <= {*known} else ()

    def by_slice(self, slice_s: float, end_s: float, *aggregates: str) -> Iterator[tuple[Any, ...]]:
        """Start of each slice of time in seconds, and its aggregates.

        A row beyond either end counts in the slice at that end, one without a moment in the last slice.
        """
        last = max(0, math.ceil(end_s / slice_s) - 1)
        index = (
            f"CASE WHEN isfinite({AT}::DOUBLE) "
            f"THEN greatest(0, least({last}, floor({AT}::DOUBLE / {slice_s!r}))) ELSE {last} END"
        )
        for found, *rest in self.rows(f"{index}, {', '.join(aggregates)}"):
            yield (float(found) * slice_s, *rest)

    def _check(self) -> None:
        history, slo = self.history, self.slo
        for condition in (slo.where, self.where):
            if condition is not None:
                check_condition(history, slo.table, "where", condition)
        kind = history.kind(slo.at, slo.table)
        if not kind.startswith(_NUMBERS):
            raise HistoryError(f"at: {slo.at} is {kind}; it must be a moment in seconds")
        if slo.by is not None:
            history.kind(self._by(slo.by), slo.table)

    def _group(self) -> str:
        by = self.slo.by
        return "''" if by is None else f"coalesce(CAST(({self._by(by)}\n) AS VARCHAR), 'none')"

    def _by(self, by: str) -> str:
        """The column, also one whose name is a word of SQL (`group`)."""
        return quoted(by) if by in self.history.tables.get(self.slo.table, {}) else by


def condition_count(history: History, table: str, condition: str) -> tuple[int, int, int]:
    """Rows for which the condition is true, rows for which it is unknown, and all rows. Raises HistoryError."""
    check_condition(history, table, "violated", condition)
    known = finite(history, table, condition)
    ((true, unknown, total),) = history.query(
        f"SELECT count(*) FILTER (WHERE ({known}\n)), count(*) FILTER (WHERE ({known}\n) IS NULL), count(*) "
        f"FROM {quoted(table)}"
    )
    return int(true), int(unknown), int(total)


def check_condition(history: History, table: str, what: str, condition: str) -> None:
    """Raises HistoryError for what is not a condition on a row of the table."""
    kind = history.kind(condition, table)
    if kind != "BOOLEAN":
        raise HistoryError(f"{what}: {condition} is {kind}; it must be true or false, such as a comparison")


def check_number(history: History, table: str, what: str, expression: str) -> None:
    """Raises HistoryError for what is not a number of a row of the table."""
    kind = history.kind(expression, table)
    if not kind.removeprefix("U").startswith(_NUMBERS):
        raise HistoryError(f"{what}: {expression} is {kind}; it must be a number")


def _double(value: float) -> str:
    return "'inf'::DOUBLE" if value == math.inf else f"{value!r}::DOUBLE"
