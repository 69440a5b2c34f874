"""A ratio: at least a share of the rows is good."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from harness.diagnostics import Code, Diagnostic
from harness.experiment.units import Ratio
from harness.history.metadata import HistoryError
from harness.history.read import History
from harness.sli.base import (
    Point,
    Series,
    SliResult,
    Slo,
    decide,
    interval_text,
    outcome_text,
    sample_count,
)
from harness.sli.finite import finite
from harness.sli.formatting import quantity, ratio, ratio_decimals
from harness.sli.query import VALUE, ClusteredRows, SliQuery, Window, check_condition
from harness.sli.threshold import Threshold


class RatioSlo(Slo):
    """At least `target` of the rows are good. Exactly one of `good`, `bad` (SQL, boolean)."""

    keys: ClassVar = ("good", "bad")
    one_of: ClassVar = ("good", "bad")
    kind: ClassVar = "ratio"
    threshold_key: ClassVar = "target"
    threshold_example: ClassVar = "99.9%"
    conditions: ClassVar = ("good", "bad")
    cumulative: ClassVar = True

    good: str | None = None
    """Which of them are good: an SQL condition. Or say `bad`."""
    bad: str | None = None
    """Which of them are bad: an SQL condition. Or say `good`."""
    target: Ratio
    """At least this share is good."""

    def meets(self, value: float, threshold: Threshold) -> bool:
        return value >= threshold.value

    def threshold(self, overrides: Mapping[str, Any]) -> Threshold:
        given = overrides.get(self.threshold_key)
        return Threshold(self.target if given is None else given, "ratio")

    def count(
        self, history: History, where: str | None, window: Window, threshold: Threshold
    ) -> Iterator[ClusteredRows]:
        return self._query(history, where).by_cluster(window, f"NOT {VALUE}")

    def judge_rows(self, rows: ClusteredRows, threshold: Threshold) -> SliResult:
        return _result(rows, threshold)

    def series(self, history: History, where: str | None, slice_s: float, end_s: float) -> Series:
        """The rows that are not good, counted up."""
        # Level until it happens, then up within its slice: never a slope where nothing happened.
        line: list[Point] = [(0.0, 0.0)]
        bad = total = 0
        bad_rows = f"count(CASE WHEN NOT {VALUE} THEN 1 END)"
        slices = self._query(history, where).by_slice(slice_s, end_s, bad_rows, "count(*)")
        for start_s, count, rows in slices:
            total += int(rows)
            if count:
                line.append((start_s, float(bad)))
                bad += int(count)
                line.append((min(start_s + slice_s, end_s), float(bad)))
        return Series((*line, (end_s, float(bad))), total)

    def describe_series(self, series: Mapping[str, Series]) -> str:
        counts = ", ".join(f"{one.points[-1][1]:,.0f} {name}" for name, one in series.items())
        return f"Rows of {self.table} that are not good, counted up: {counts}."

    def check(self) -> Iterator[Diagnostic]:
        return self.check_threshold(self.target)

    def check_threshold(self, value: float) -> Iterator[Diagnostic]:
        return check_share(value)

    def _query(self, history: History, where: str | None) -> SliQuery:
        """Null where it is unknown whether the row is good."""
        if self.good is not None:
            check_condition(history, self.table, "good", self.good)
            good = f"({finite(history, self.table, self.good)}\n)"
        elif self.bad is not None:
            check_condition(history, self.table, "bad", self.bad)
            good = f"(NOT ({finite(history, self.table, self.bad)}\n))"
        else:
            raise HistoryError("the SLO needs 'good' or 'bad'")
        return SliQuery(history, self, good, "false", where)


def check_share(target: float) -> Iterator[Diagnostic]:
    """A share that samples can show."""
    if not 0 < target < 1:
        yield Diagnostic(
            Code.OUT_OF_RANGE,
            f"the target is {target * 100:.10g}%",
            "more than 0% and less than 100%: no number of samples shows that all are good",
            path=("target",),
        )


def _result(rows: ClusteredRows, threshold: Threshold) -> SliResult:
    counts = rows.counts
    if not counts.samples:
        return SliResult(rows.group, 0, missing=rows.missing)
    decision = decide(counts, rows.missing, threshold.value)
    bounded = None if decision.with_missing is None else decision.with_missing.share
    target = ratio(threshold.value, max(1, ratio_decimals(threshold.value) - 1))
    value = interval_text(counts.share, counts.bounds, threshold)
    worst = quantity(bounded, threshold.unit, threshold.value)
    outcome = outcome_text(decision, f"at least {target}", f"less than {target}", worst)
    return SliResult(
        rows.group,
        counts.samples,
        rows.unknown,
        counts.share,
        counts.bounds,
        decision.holds,
        decision.needs,
        f"{value} of {sample_count(counts, rows.unknown)} are good{outcome}",
        counts.effective,
        rows.missing,
        bounded,
        counts,
    )
