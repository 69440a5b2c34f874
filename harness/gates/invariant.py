"""Judging the invariants of a system: no row violates them. They are gates of each of its experiments."""

from __future__ import annotations

from dataclasses import replace

from harness.gates.result import GateResult, Verdict, no_samples, not_computable
from harness.history.metadata import HistoryError, InvariantRecord
from harness.history.read import History
from harness.sli.query import condition_count

KIND = "invariant"


def judge_invariant(history: History, invariant: InvariantRecord) -> GateResult:
    """Passed when there are rows and none of them violates it.

    A row for which the condition is null or NaN is unknown. It does not violate the invariant for certain, so it cannot
    fail it; it may violate it, so it cannot pass: such an invariant is inconclusive.
    """
    return replace(_judge(history, invariant), kind=KIND)


def _judge(history: History, invariant: InvariantRecord) -> GateResult:
    name, table = invariant.name, invariant.table
    try:
        violated, unknown, rows = condition_count(history, table, invariant.violated)
    except HistoryError as error:
        return not_computable(name, error)
    if not rows:
        return no_samples(name, threshold=0.0, unit="count", reason=f"table {table} has no rows")
    also = f" ({unknown:,} unknown: the condition is null or NaN)" if unknown else ""
    return GateResult(
        name=name,
        verdict=Verdict.FAILED if violated else Verdict.INCONCLUSIVE if unknown else Verdict.PASSED,
        reason=f"{violated:,} of {rows:,} rows of {table} violate it{also}: {invariant.protects}",
        value=float(violated),
        interval=None,
        threshold=0.0,
        unit="count",
        samples=rows,
        unknown=unknown,
    )
