"""A percentile: that of a value is at most a threshold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from harness.diagnostics import Code, Diagnostic
from harness.errors import InvalidValue
from harness.history.read import History
from harness.sli.base import Series, SliResult, Slo, decide, interval_text, outcome_text, sample_count
from harness.sli.finite import finite
from harness.sli.formatting import quantity
from harness.sli.query import VALUE, ClusteredRows, SliQuery, Window, check_number
from harness.sli.statistics import percentile, percentile_bounds
from harness.sli.threshold import Threshold, parse_threshold
from harness.text import quote

_BASE_UNITS = {"_s": "1s", "_bps": "1bps", "_bytes": "1B", "_ratio": "1%", "_share": "1%"}
"""How a column's name ends, and a quantity in that unit."""

_OTHER_UNITS = {
    "_us": ("seconds", "{} / 1e6"),
    "_ms": ("seconds", "{} / 1e3"),
    "_minutes": ("seconds", "{} * 60"),
    "_kbps": ("bit/s", "{} * 1e3"),
    "_mbps": ("bit/s", "{} * 1e6"),
    "_gbps": ("bit/s", "{} * 1e9"),
    "_kb": ("bytes", "{} * 1e3"),
    "_mb": ("bytes", "{} * 1e6"),
    "_percent": ("shares of 1", "{} / 100"),
}
"""Endings of units that thresholds do not have: the base unit, and how to convert to it."""


class PercentileSlo(Slo):
    """The percentile of `value` (SQL, numeric, in base units) is at most `at_most` (with its unit)."""

    keys: ClassVar = ("value", "percentile", "at_most")
    kind: ClassVar = "percentile"
    threshold_key: ClassVar = "at_most"
    threshold_example: ClassVar = "2s"
    numbers: ClassVar = ("value",)

    value: str
    """What is measured: an SQL expression in seconds, bit/s or bytes."""
    percentile: Annotated[float, Field(gt=0, lt=100)]
    """Which percentile, such as 95."""
    at_most: str
    """Its threshold with a unit, such as 2s."""

    def threshold(self, overrides: Mapping[str, Any]) -> Threshold:
        given = overrides.get(self.threshold_key)
        return parse_threshold(self.at_most if given is None else given)

    def count(
        self, history: History, where: str | None, window: Window, threshold: Threshold
    ) -> Iterator[ClusteredRows]:
        slow = f"{VALUE} > {threshold.value!r}"
        return self._query(history, where).by_cluster(window, slow, values=True)

    def series(self, history: History, where: str | None, slice_s: float, end_s: float) -> Series:
        """The percentile of each slice of time, at its middle."""
        slices = [
            (start_s, sorted(values))
            for start_s, values in self._query(history, where).by_slice(slice_s, end_s, f"list({VALUE})")
        ]
        points = ((start_s + slice_s / 2, percentile(found, self.percentile)) for start_s, found in slices)
        return Series(tuple(points), sum(len(found) for _, found in slices))

    def describe_series(self, series: Mapping[str, Series]) -> str:
        text = f"{self.percentile:g}th percentile of each slice of time, of all rows that the SLO is about."
        if any(value == math.inf for one in series.values() for _, value in one.points):
            text += " Slices drawn at the top have none: too many of their rows have no value."
        return text

    def check(self) -> Iterator[Diagnostic]:
        yield from self.check_threshold(self.at_most)
        if (ending := _ending(self.value)) in _OTHER_UNITS:
            base, formula = _OTHER_UNITS[ending]
            yield Diagnostic(
                Code.BAD_UNIT,
                f"{quote(self.value)} is not in {base}, as its threshold is",
                f"write value: {formula.format(self.value)}",
                path=("value",),
            )

    def check_threshold(self, value: str) -> Iterator[Diagnostic]:
        """A threshold above zero in the unit of the column, or of the SLO's own threshold."""
        path = (self.threshold_key,)
        try:
            threshold = parse_threshold(value)
        except InvalidValue as error:
            yield error.diagnostic.below(path)
            return
        if threshold.value <= 0:
            yield Diagnostic(
                Code.OUT_OF_RANGE, f"the threshold is '{value}'", "it must be more than 0", path=path
            )
        example = _BASE_UNITS.get(_ending(self.value), self.at_most)
        try:
            measured = parse_threshold(example).unit
        except InvalidValue:
            return
        if threshold.unit != measured:
            yield Diagnostic(
                Code.BAD_UNIT,
                f"'{value}' is in {threshold.unit}",
                f"{quote(self.value)} is in {measured}, such as {example}",
                path=path,
            )

    def percentile_of(self, column: str | None = None) -> float | None:
        return self.percentile if column in (None, self.value) else None

    def _query(self, history: History, where: str | None) -> SliQuery:
        """Null where the value is null or not finite; such a value is infinitely bad."""
        check_number(history, self.table, "value", self.value)
        value = f"CAST(({finite(history, self.table, self.value)}\n) AS DOUBLE)"
        value = f"(CASE WHEN isfinite({value}) THEN {value} END)"
        return SliQuery(history, self, value, "'inf'::DOUBLE", where)

    def judge_rows(self, rows: ClusteredRows, threshold: Threshold) -> SliResult:
        """A percentile is at most a threshold when the share of values up to it is at least the percentile."""
        counts, values = rows.counts, rows.values
        if not counts.samples:
            return SliResult(rows.group, 0, missing=rows.missing)
        decision = decide(counts, rows.missing, self.percentile / 100)
        low, high = percentile_bounds(values, self.percentile, counts.effective, counts.confidence)
        interval = (low, high) if math.isfinite(low) and math.isfinite(high) else None
        value = percentile(values, self.percentile)
        bounded = percentile((*values, *[math.inf] * rows.missing), self.percentile) if rows.missing else None
        written = interval_text(value, interval, threshold) if math.isfinite(value) else "unbounded"
        worst = "unbounded" if bounded == math.inf else quantity(bounded, threshold.unit, threshold.value)
        most = quantity(threshold.value, threshold.unit)
        outcome = outcome_text(decision, f"at most {most}", f"more than {most}", worst)
        return SliResult(
            rows.group,
            counts.samples,
            rows.unknown,
            value if math.isfinite(value) else None,
            interval,
            decision.holds,
            decision.needs,
            f"p{self.percentile:g} of {sample_count(counts, rows.unknown)} is {written}{outcome}",
            counts.effective,
            rows.missing,
            None if bounded == math.inf else bounded,
            counts,
        )


def _ending(value: str) -> str:
    """The unit in a column's name; empty for what is more than a column's name."""
    if not value.isidentifier():
        return ""
    return next((end for end in (*_BASE_UNITS, *_OTHER_UNITS) if value.endswith(end)), "")
