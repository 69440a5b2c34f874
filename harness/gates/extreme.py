"""`max` and `min`: the largest and the smallest value that a run has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from harness.diagnostics import Diagnostic
from harness.gates.base import CheckContext, JudgeContext
from harness.gates.during import DURING_TEXT
from harness.gates.registry import gate_kind
from harness.gates.result import GateResult, Verdict, no_samples
from harness.gates.rows import VALUE, RowsGate, RowSource, check_rows, silent_clients, silent_text
from harness.history.read import History
from harness.sli.checks import check_table_expression
from harness.sli.formatting import quantity
from harness.sli.percentile import PercentileSlo
from harness.sli.query import windows
from harness.sli.threshold import parse_threshold


class ValueGate(RowsGate):
    """Base of the gates on a number in each row. The field named by `key` is its SQL."""

    threshold_key: ClassVar[str]

    table: str
    """A table of the system, or events."""

    @property
    def expression(self) -> str:
        return str(getattr(self, self.key))

    @property
    def threshold_text(self) -> str:
        return str(getattr(self, self.threshold_key))

    @property
    def can_abort(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return f"{self.key} {self.expression}"

    def check(self, context: CheckContext) -> Iterator[Diagnostic]:
        yield from check_rows(context.system, self.table, self.where, self.at)
        for problem in check_table_expression(
            context.system, self.table, self.expression, key=self.key, numeric=True
        ):
            if problem.path == (self.key,):
                yield problem
        # The same units as those of a percentile, said at the keys of this gate.
        slo = PercentileSlo(
            protects="", table=self.table, value=self.expression, percentile=50, at_most=self.threshold_text
        )
        keys = {"value": self.key, "at_most": self.threshold_key}
        for problem in slo.check():
            yield Diagnostic(
                problem.code,
                problem.found,
                problem.allowed.replace("value:", f"{self.key}:"),
                problem.hint,
                tuple(keys.get(str(step), step) for step in problem.path),
            )


class _ExtremeGate(ValueGate):
    aggregate: ClassVar[str]

    def judge(self, history: History, context: JudgeContext) -> Iterable[GateResult]:
        """A row without a value may have any; so may a row that only may count."""
        source = RowSource(history, self.table, self.where, self.at)
        sql = source.sql(windows(history)[self.during], self.expression)
        ((value, samples, unknown),) = history.query(
            f"SELECT {self.aggregate}({VALUE}) FILTER (WHERE _sure), count(*), "
            f"count(*) FILTER (WHERE {VALUE} IS NULL OR NOT _sure) FROM {sql}"
        )
        threshold = parse_threshold(self.threshold_text)
        if not samples:
            reason = f"table {self.table} has no rows that count{DURING_TEXT[self.during]}"
            return [no_samples(context.name, threshold=threshold.value, unit=threshold.unit, reason=reason)]
        silent = silent_clients(history, self.table)
        word = self.threshold_key.replace("_", " ")
        if value is not None and not self._holds(value, threshold.value):
            verdict = Verdict.FAILED
        else:
            verdict = Verdict.INCONCLUSIVE if unknown or silent else Verdict.PASSED
        figure = quantity(value, threshold.unit)
        also = f" ({unknown:,} unknown)" if unknown else ""
        return [
            GateResult(
                name=context.name,
                verdict=verdict,
                reason=f"the {self.key} of {samples:,} rows{also} in this run is {figure}, "
                f"{word} {quantity(threshold.value, threshold.unit)} is allowed{silent_text(silent)}",
                value=value,
                interval=None,
                threshold=threshold.value,
                unit=threshold.unit,
                samples=int(samples),
                unknown=int(unknown),
            )
        ]

    def _holds(self, value: float, threshold: float) -> bool:
        raise NotImplementedError


@gate_kind
class MaxGate(_ExtremeGate):
    """The largest value is at most this. It is an exact fact of this run, no claim about other runs."""

    key: ClassVar = "max"
    threshold_key: ClassVar = "at_most"
    aggregate: ClassVar = "max"

    max: str
    """What is measured: an SQL expression in seconds, bit/s or bytes."""
    at_most: str
    """The largest value that is allowed, with its unit."""

    def _holds(self, value: float, threshold: float) -> bool:
        return value <= threshold


@gate_kind
class MinGate(_ExtremeGate):
    """The smallest value is at least this. It is an exact fact of this run, no claim about other runs."""

    key: ClassVar = "min"
    threshold_key: ClassVar = "at_least"
    aggregate: ClassVar = "min"

    min: str
    """What is measured: an SQL expression in seconds, bit/s or bytes."""
    at_least: str
    """The smallest value that is allowed, with its unit."""

    def _holds(self, value: float, threshold: float) -> bool:
        return value >= threshold
