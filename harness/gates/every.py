"""`every`: to every row of one table belong so many rows of another: nothing is lost, nothing is done twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from harness.diagnostics import Diagnostic
from harness.experiment.units import PositiveDuration
from harness.gates.base import CheckContext, Gate, JudgeContext
from harness.gates.during import run_end_s
from harness.gates.registry import gate_kind
from harness.gates.result import GateResult, Verdict, no_samples
from harness.gates.rows import AT, SURE, KeyedRows, RowSource
from harness.history.metadata import HistoryError, MatchRecord
from harness.history.read import History
from harness.sli.formatting import duration


@gate_kind
class EveryGate(Gate):
    """To every key of `every` belong exactly `times` rows of `in`, at most `within` after its first row."""

    key: ClassVar = "every"

    every: KeyedRows
    """The rows that need others: {table: accepted, key: order_id}."""
    in_: KeyedRows = Field(alias="in")
    """The rows that belong to them, by their key: {table: done, key: order_id}."""
    times: Annotated[int, Field(ge=0)] = 1
    """How many rows belong to each key, exactly."""
    within: PositiveDuration
    """How soon they come, from the first row of the key."""

    @property
    def label(self) -> str:
        often = {0: "never", 1: "once"}.get(self.times, f"{self.times} times")
        return f"every {self.every.table} {often} in {self.in_.table}"

    @property
    def distinctions(self) -> tuple[str, ...]:
        return (
            "" if self.every.where is None else f" where {self.every.where}"
        ), f" within {self.within:g} s"

    def check(self, context: CheckContext) -> Iterator[Diagnostic]:
        for key, rows in (("every", self.every), ("in", self.in_)):
            for problem in rows.check(context.system):
                yield problem.below((key,))

    def judge(self, history: History, context: JudgeContext) -> Iterable[GateResult]:
        rows = [
            (one.table, one.key, "true" if one.where is None else one.where, one.at)
            for one in (self.every, self.in_)
        ]
        record = MatchRecord(context.name, *rows[0], *rows[1], self.times, self.within)
        return [judge_match(history, record)]


@dataclass(frozen=True, slots=True)
class _Counts:
    """Of the keys of `every`: how many there are, and what is the matter with them.

    `pending`: those that have too few rows, and still time for more when the run is over.
    """

    keys: int
    lost: int
    repeated: int
    late: int
    unknown: int
    pending: int
    keyless: int


def judge_match(history: History, claim: MatchRecord) -> GateResult:
    """Passed when each key that had its whole time has its rows, and none has more.

    A row without a key violates the claim, in either table: nobody can tell what it is about. A key whose time is not
    over at the end of the run is not judged, unless it has too many rows already; how many those are is in the reason.
    Raises HistoryError.
    """
    found = _count(history, claim)
    violated = found.lost + found.repeated + found.late + found.keyless
    judged = found.keys - found.pending
    if not found.keys and not found.keyless:
        return no_samples(
            claim.name, threshold=0.0, unit="count", reason=f"table {claim.table} has no rows that count"
        )
    pending = (
        f"; {found.pending:,} are not judged: the run ends less than {duration(claim.within_s)} after them"
        if found.pending
        else ""
    )
    if not judged and not violated:
        return no_samples(claim.name, threshold=0.0, unit="count", reason=f"no key is judged{pending}")
    verdict = Verdict.PASSED
    if violated:
        verdict = Verdict.FAILED
    elif found.unknown:
        verdict = Verdict.INCONCLUSIVE
    parts = [
        f"{count:,} {what}"
        for count, what in (
            (found.lost, f"have too few rows in {claim.in_table}"),
            (found.late, f"have them later than {duration(claim.within_s)}"),
            (found.repeated, f"have too many rows in {claim.in_table}"),
            (found.keyless, "rows have no key"),
            (found.unknown, "are unknown"),
        )
        if count
    ]
    wanted = f"{claim.times:,} row{'' if claim.times == 1 else 's'} in {claim.in_table}"
    summary = ", ".join(parts) or f"all have {wanted} within {duration(claim.within_s)}"
    return GateResult(
        name=claim.name,
        verdict=verdict,
        reason=f"of {judged:,} keys of {claim.table}: {summary}{pending}",
        value=float(violated),
        interval=None,
        threshold=0.0,
        unit="count",
        samples=judged,
        unknown=found.unknown,
    )


def _count(history: History, claim: MatchRecord) -> _Counts:
    source = RowSource(history, claim.table, claim.where, claim.at)
    target = RowSource(history, claim.in_table, claim.in_where, claim.in_at)
    kinds = [source.key_type(claim.key), target.key_type(claim.in_key)]
    if kinds[0] != kinds[1]:
        raise HistoryError(
            f"the key of {claim.table} is {kinds[0]}, that of {claim.in_table} is {kinds[1]}; cast one of them"
        )
    times, end_s = claim.times, run_end_s(history)
    # Of each key of `every`: `sure`: a row of it counts for certain; `due_s`: when its time is over, null if unknown.
    # Of its rows in `in`: those that count for certain (`sure_rows`; in time: `in_time`), and all that may count.
    query = f"""
    WITH every AS (
      SELECT ({claim.key}\n) AS k, bool_or({SURE}) AS sure,
        CASE WHEN count(*) = count({AT}) THEN min({AT}) END + {claim.within_s!r}::DOUBLE AS due_s
      FROM {source.sql()} GROUP BY 1
    ), found AS (
      SELECT ({claim.in_key}\n) AS k, {SURE} AS sure_row, {AT} AS at_s FROM {target.sql()}
    ), each AS (
      SELECT every.k, any_value(sure) AS sure, any_value(due_s) AS due_s, count(found.k) AS possible,
        count(*) FILTER (WHERE sure_row) AS sure_rows,
        count(*) FILTER (WHERE sure_row AND at_s <= due_s) AS in_time,
        count(*) FILTER (WHERE found.k IS NOT NULL AND coalesce(at_s <= due_s, true)) AS possible_in_time
      FROM every LEFT JOIN found ON every.k = found.k WHERE every.k IS NOT NULL GROUP BY 1
    ), judged AS (
      SELECT CASE
        WHEN sure AND sure_rows > {times} THEN 'repeated'
        WHEN possible < {times} AND due_s > {end_s!r}::DOUBLE THEN 'pending'
        WHEN sure AND possible < {times} THEN 'lost'
        WHEN sure AND possible_in_time < {times} THEN 'late'
        WHEN sure AND in_time = {times} AND possible = {times} THEN 'good'
        ELSE 'unknown' END AS outcome
      FROM each
    )
    SELECT count(*), {", ".join(f"count(*) FILTER (WHERE outcome = '{one}')" for one in _OUTCOMES)},
      (SELECT count(*) FROM {source.sql()} WHERE ({claim.key}\n) IS NULL AND {SURE}),
      (SELECT count(*) FROM {target.sql()} WHERE ({claim.in_key}\n) IS NULL AND {SURE}),
      (SELECT count(*) FROM {source.sql()} WHERE ({claim.key}\n) IS NULL AND NOT {SURE}),
      (SELECT count(*) FROM {target.sql()} WHERE ({claim.in_key}\n) IS NULL AND NOT {SURE})
    FROM judged"""
    ((keys, lost, repeated, late, unknown, pending, *keyless),) = history.query(query)
    return _Counts(
        keys=int(keys),
        lost=int(lost),
        repeated=int(repeated),
        late=int(late),
        unknown=int(unknown) + int(keyless[2]) + int(keyless[3]),
        pending=int(pending),
        keyless=int(keyless[0]) + int(keyless[1]),
    )


_OUTCOMES = ("lost", "repeated", "late", "unknown", "pending")
