"""Judging the invariants of a system: no row violates them. They are gates of each of its experiments."""

from __future__ import annotations

from dataclasses import replace

from harness.gates.result import GateResult, Verdict, no_samples, not_computable
from harness.history.metadata import HistoryError, InvariantRecord
from harness.history.read import History
from harness.sli.query import condition_count

KIND = "invariant"


def judge_invariant(history: History, invariant: InvariantRecord) -> GateResult:
    """Passed when there are rows and none of them violates it."""
    return replace(_judge(history, invariant), kind=KIND)


def _judge(history: History, invariant: InvariantRecord) -> GateResult:
    name, table = invariant.name, invariant.table
    try:
        violated, rows = condition_count(history, table, invariant.violated)
    except HistoryError as error:
        return not_computable(name, error)
    if not rows:
        return no_samples(name, threshold=0.0, unit="count", reason=f"table {table} has no rows")
    return GateResult(
        name=name,
        verdict=Verdict.FAILED if violated else Verdict.PASSED,
        reason=f"{violated:,} of {rows:,} rows of {table} violate it: {invariant.protects}",
        value=float(violated),
        interval=None,
        threshold=0.0,
        unit="count",
        samples=rows,
    )
