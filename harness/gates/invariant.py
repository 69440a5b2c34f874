"""Judging the invariants of a system: no row violates them. They are gates of each of its experiments."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.gates.every import judge_match
from harness.gates.result import GateResult, Verdict, no_samples, not_computable
from harness.history.metadata import HistoryError, InvariantRecord, MatchRecord
from harness.history.read import History
from harness.sli.query import condition_count

KIND = "invariant"


@dataclass(frozen=True, slots=True)
class InvariantResults:
    """`results`: of the invariants that have rows. `not_applicable`: of the others, one sentence each.

    An invariant without a row is about something that this load does not do. It is neither held nor violated.
    """

    results: tuple[GateResult, ...]
    not_applicable: tuple[str, ...]


def judge_invariants(history: History) -> InvariantResults:
    found = [judge_invariant(history, invariant) for invariant in history.metadata.invariants]
    empty = [
        one for one in found if one.verdict is Verdict.INCONCLUSIVE and not one.samples and not one.unknown
    ]
    return InvariantResults(
        tuple(one for one in found if one not in empty),
        tuple(f"invariant {one.name} is not applicable: {one.reason}" for one in empty),
    )


def judge_invariant(history: History, invariant: InvariantRecord | MatchRecord) -> GateResult:
    """Passed when there are rows and none of them violates it.

    A row for which the condition is null or NaN is unknown. It does not violate the invariant for certain, so it cannot
    fail it; it may violate it, so it cannot pass: such an invariant is inconclusive.
    """
    try:
        if isinstance(invariant, MatchRecord):
            result = judge_match(history, invariant)
            if result.samples:
                result = replace(result, reason=f"{result.reason}: {invariant.protects}")
        else:
            result = _judge(history, invariant)
    except HistoryError as error:
        result = not_computable(invariant.name, error)
    return replace(result, kind=KIND)


def _judge(history: History, invariant: InvariantRecord) -> GateResult:
    name, table = invariant.name, invariant.table
    violated, unknown, rows = condition_count(history, table, invariant.violated)
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
