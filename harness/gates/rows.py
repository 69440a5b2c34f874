"""Rows of a table that a gate counts or measures: which of them count for certain, and which may.

The unknown is the worst. A row for which `where` is null, or whose moment is null in a gate about a part of the run,
may count and may not: a gate holds only when it holds either way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from harness.diagnostics import Code, Diagnostic
from harness.errors import InvalidValue
from harness.experiment.load import Frozen
from harness.gates.base import Gate
from harness.gates.during import DURING_TEXT, During, during_key
from harness.gates.result import Verdict
from harness.history.metadata import HistoryError
from harness.history.read import History
from harness.history.table import quoted
from harness.sli.checks import check_table_expression
from harness.sli.finite import finite
from harness.sli.query import EVERYTHING, NEVER, Window, check_condition, check_number
from harness.system import System

SURE, AT, VALUE = "_sure", "_at", "_value"
"""Columns of `RowSource.sql`: whether the row counts for certain, its moment in seconds, and what is measured."""


class Rows(Frozen):
    """Rows of one table."""

    table: str
    """A table of the system, or events."""
    where: str | None = None
    """Only rows for which this SQL condition is true."""
    at: str = "t_s"
    """SQL for the moment of a row, in seconds."""

    def check(self, system: System | None) -> Iterator[Diagnostic]:
        """What does not fit the system, at paths below the rows."""
        yield from check_rows(system, self.table, self.where, self.at)

    def source(self, history: History) -> RowSource:
        return RowSource(history, self.table, self.where, self.at)


class KeyedRows(Rows):
    """Rows of one table, with what they are about."""

    key: str
    """SQL for what a row is about, such as a column with the number of an order."""

    def check(self, system: System | None) -> Iterator[Diagnostic]:
        yield from super().check(system)
        # Any type will do: whether it is null is always a condition.
        for problem in check_table_expression(system, self.table, f"({self.key}\n) IS NULL", key="key"):
            if problem.path == ("key",):
                yield problem


def check_rows(
    system: System | None, table: str, where: str | None, at: str, table_key: str = "table"
) -> Iterator[Diagnostic]:
    """Whether the table exists and both expressions fit it. `table_key`: the YAML key of the table."""
    for problem in check_table_expression(system, table, at, key="at", numeric=True):
        yield replace(problem, path=(table_key,)) if problem.path == ("table",) else problem
    if where is not None:
        for problem in check_table_expression(system, table, where, key="where"):
            if problem.path == ("where",):
                yield problem


@dataclass(frozen=True, slots=True)
class RowSource:
    """The rows of a recorded table that a condition selects."""

    history: History
    table: str
    where: str | None = None
    at: str = "t_s"

    def sql(self, window: Window = EVERYTHING, value: str | None = None) -> str:
        """A query of the rows that may lie in the window, with SURE, AT and VALUE beside their own columns.

        `value`: SQL of a number; null where it is not finite. Raises HistoryError for what does not fit the table.
        """
        history = self.history
        check_number(history, self.table, "at", self.at)
        moment = f"CAST(({finite(history, self.table, self.at)}\n) AS DOUBLE)"
        moment = f"CASE WHEN isfinite({moment}) THEN {moment} END"
        belongs = "true"
        if self.where is not None:
            check_condition(history, self.table, "where", self.where)
            belongs = f"({finite(history, self.table, self.where)}\n)"
        measured = "CAST(NULL AS DOUBLE)"
        if value is not None:
            check_number(history, self.table, "value", value)
            number = f"CAST(({finite(history, self.table, value)}\n) AS DOUBLE)"
            measured = f"CASE WHEN isfinite({number}) THEN {number} END"
        rows = f"SELECT *, {belongs} AS _belongs, {moment} AS {AT}, {measured} AS {VALUE} FROM {quoted(self.table)}"
        counts = f"(_belongs AND {_inside(window)})"
        return f"(SELECT *, coalesce({counts}, false) AS {SURE} FROM ({rows}) WHERE coalesce({counts}, true))"

    def count(self, window: Window = EVERYTHING) -> tuple[int, int]:
        """How many rows count for certain, and how many may count: the unknown ones too."""
        ((sure, possible),) = self.history.query(
            f"SELECT count(*) FILTER (WHERE {SURE}), count(*) FROM {self.sql(window)}"
        )
        return int(sure), int(possible)

    def key_type(self, key: str) -> str:
        """The SQL type of a key. Raises HistoryError."""
        if self.table not in self.history.tables:
            raise HistoryError(f"there is no table '{self.table}'")
        return self.history.kind(key, self.table)


def _inside(window: Window) -> str:
    """SQL over AT: null for a row without a moment, unless every moment is inside."""
    if window == NEVER:
        return "false"
    parts = []
    if window.start_s is not None and window.start_s > -math.inf:
        parts.append(f"{AT} >= {window.start_s!r}::DOUBLE")
    if window.end_s is not None and window.end_s < math.inf:
        parts.append(f"{AT} < {window.end_s!r}::DOUBLE")
    return " AND ".join(parts) or "true"


class RowsGate(Gate):
    """Base of the gates on rows of a table in a part of the run."""

    where: str | None = None
    """Only rows for which this SQL condition is true."""
    at: str = "t_s"
    """SQL for the moment of a row, in seconds."""
    during: During = "all"
    """Which part of the run counts."""

    @property
    def distinctions(self) -> tuple[str, ...]:
        return ("" if self.where is None else f" where {self.where}", DURING_TEXT[self.during])

    @property
    def fault_key(self) -> str | None:
        return during_key(self.during)


def check_limits(at_least: object, at_most: object) -> None:
    """Raises InvalidValue where a gate has neither limit."""
    if at_least is None and at_most is None:
        raise InvalidValue(Code.MISSING_KEY, "the gate has no limit", "give 'at_least', 'at_most' or both")


def limits_verdict(low: float, high: float, at_least: float | None, at_most: float | None) -> Verdict:
    """Of a figure that is at least `low` and at most `high`."""
    if (at_most is not None and low > at_most) or (at_least is not None and high < at_least):
        return Verdict.FAILED
    if (at_most is None or high <= at_most) and (at_least is None or low >= at_least):
        return Verdict.PASSED
    return Verdict.INCONCLUSIVE


def limits_text(at_least: str | None, at_most: str | None) -> str:
    """`at least 3, at most 5`."""
    parts = [f"at least {at_least}" if at_least else "", f"at most {at_most}" if at_most else ""]
    return ", ".join(part for part in parts if part)


def cluster_sql(history: History, table: str) -> str:
    """SQL for the client that a row depends on; without one, each row is by itself."""
    columns = history.tables.get(table, ())
    return next((name for name in ("recorded_by", "client") if name in columns), "row_number() OVER ()")


def silent_clients(history: History, table: str) -> int:
    """How many clients recorded nothing, or ended in an error or not at all: rows of theirs may be missing.

    0 for a table that clients do not record, and where it is not known who did.
    """
    if "clients" not in history.tables or "recorded_by" not in history.tables.get(table, ()):
        return 0
    ((own, silent),) = history.query(
        f"SELECT (SELECT count(*) FROM {quoted(table)} WHERE recorded_by IN (SELECT client FROM clients)), "
        "(SELECT count(*) FROM clients WHERE outcome IN ('failed', 'unended') OR rows = 0)"
    )
    return int(silent) if own else 0


def silent_text(count: int) -> str:
    """A part of a reason; empty for 0."""
    return f"; {count:,} clients did not report, their rows are unknown" if count else ""
