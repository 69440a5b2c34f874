"""What an SLO's SQL comes to on a history: counts and values, by group and by window of time.

Every expression is checked against the table as it was recorded before it is used, so that a mistyped column
or a number taken for a condition is an error, whoever wrote the experiment and however long ago.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from harness.experiment.model import PercentileSlo, RatioSlo, Slo
from harness.history.errors import HistoryError
from harness.history.read import History
from harness.history.table import quoted

_NUMBERS = ("DOUBLE", "FLOAT", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "DECIMAL")


@dataclass(frozen=True, slots=True)
class Window:
    """Which rows count, by when they were determined: from `start_s` on, before `end_s`; None is open."""

    start_s: float | None = None
    end_s: float | None = None

    def condition(self, at: str) -> str:
        """SQL; of a row without a moment it is null, unless everything counts."""
        parts = []
        if self.start_s is not None:
            parts.append(f"({at}\n) >= {_double(self.start_s)}")
        if self.end_s is not None:
            parts.append(f"({at}\n) < {_double(self.end_s)}")
        return " AND ".join(parts) or "true"


NEVER = Window(math.inf)
"""No row at all: the time after a fault that never was."""


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


def ratios(
    history: History, slo: RatioSlo, where: str | None, window: Window
) -> Iterator[tuple[str, int, int]]:
    """Group, good rows, all rows; groups in order. An expression that is null counts as not good.

    Raises HistoryError for what is not a table, a column or a condition.
    """
    _check(history, slo, where)
    if slo.good is not None:
        _check_condition(history, slo.table, "good", slo.good)
        good = f"coalesce(({slo.good}\n), false)"
    elif slo.bad is not None:
        _check_condition(history, slo.table, "bad", slo.bad)
        good = f"NOT coalesce(({slo.bad}\n), true)"
    else:
        raise HistoryError("the SLO says neither what is good nor what is bad")
    inside = f"coalesce({window.condition(slo.at)}, false)"
    sql = (
        f"SELECT {_group(history, slo)}, count(*) FILTER (WHERE {good} AND {inside}), "
        f"count(*) FILTER (WHERE {inside}) {_from(slo, where)} GROUP BY 1 ORDER BY 1"
    )
    for group, n_good, n_all in history.query(sql):
        yield str(group), int(n_good), int(n_all)


def values(
    history: History, slo: PercentileSlo, where: str | None, window: Window
) -> Iterator[tuple[str, list[float]]]:
    """Group and its values, sorted; groups in order. A value that is null or no number is infinitely bad.

    Raises HistoryError for what is not a table, a column, a condition or a number.
    """
    _check(history, slo, where)
    kind = history.kind(slo.value, slo.table)
    if not kind.removeprefix("U").startswith(_NUMBERS):
        raise HistoryError(f"value: {slo.value} is {kind}; it must be a number")
    inside = f"coalesce({window.condition(slo.at)}, false)"
    sql = (
        f"SELECT {_group(history, slo)}, list(coalesce(CAST(({slo.value}\n) AS DOUBLE), 'inf'::DOUBLE)) "
        f"FILTER (WHERE {inside}) {_from(slo, where)} GROUP BY 1 ORDER BY 1"
    )
    for group, found in history.query(sql):
        yield str(group), sorted(math.inf if math.isnan(value) else value for value in found or ())


def condition_count(history: History, table: str, condition: str) -> tuple[int, int]:
    """Rows for which the condition is true, and all rows. Raises HistoryError."""
    _check_condition(history, table, "violated", condition)
    ((true, total),) = history.query(
        f"SELECT count(*) FILTER (WHERE {condition}\n), count(*) FROM {quoted(table)}"
    )
    return int(true), int(total)


def _check(history: History, slo: Slo, where: str | None) -> None:
    for condition in (slo.where, where):
        if condition is not None:
            _check_condition(history, slo.table, "where", condition)
    kind = history.kind(slo.at, slo.table)
    if not kind.startswith(_NUMBERS):
        raise HistoryError(f"at: {slo.at} is {kind}; it must be a moment in seconds")
    if slo.by is not None:
        history.kind(_by(history, slo), slo.table)


def _check_condition(history: History, table: str, what: str, condition: str) -> None:
    kind = history.kind(condition, table)
    if kind != "BOOLEAN":
        raise HistoryError(f"{what}: {condition} is {kind}; it must be true or false, such as a comparison")


def _group(history: History, slo: Slo) -> str:
    return "''" if slo.by is None else f"coalesce(CAST(({_by(history, slo)}\n) AS VARCHAR), 'none')"


def _by(history: History, slo: Slo) -> str:
    """The column, also one whose name is a word of SQL (`group`)."""
    by = slo.by or ""
    return quoted(by) if by in history.tables.get(slo.table, {}) else by


def _from(slo: Slo, where: str | None) -> str:
    conditions = [f"({condition}\n)" for condition in (slo.where, where) if condition is not None]
    return f"FROM {quoted(slo.table)}" + (f" WHERE {' AND '.join(conditions)}" if conditions else "")


def _double(value: float) -> str:
    return "'inf'::DOUBLE" if value == math.inf else f"{value!r}::DOUBLE"
