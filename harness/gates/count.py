"""`count`: how many rows of a table a run has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from harness.diagnostics import Diagnostic
from harness.gates.base import CheckContext, JudgeContext
from harness.gates.during import DURING_TEXT
from harness.gates.registry import gate_kind
from harness.gates.result import GateResult, no_samples
from harness.gates.rows import (
    RowsGate,
    RowSource,
    check_limits,
    check_rows,
    limits_text,
    limits_verdict,
    silent_clients,
    silent_text,
)
from harness.history.read import History
from harness.sli.formatting import number
from harness.sli.query import NEVER, windows


@gate_kind
class CountGate(RowsGate):
    """The number of rows is within limits. It is an exact fact of this run, no claim about other runs."""

    key: ClassVar = "count"

    count: str
    """A table of the system, or events."""
    at_least: Annotated[int, Field(ge=0)] | None = None
    """The smallest number of rows."""
    at_most: Annotated[int, Field(ge=0)] | None = None
    """The largest number of rows."""

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        check_limits(self.at_least, self.at_most)
        return self

    @property
    def can_abort(self) -> bool:
        return self.at_least is None

    @property
    def label(self) -> str:
        return f"count of {self.count}"

    def check(self, context: CheckContext) -> Iterator[Diagnostic]:
        yield from check_rows(context.system, self.count, self.where, self.at, table_key="count")

    def judge(self, history: History, context: JudgeContext) -> Iterable[GateResult]:
        """A run without any row of the table in that time is no evidence that there are few of them."""
        window = windows(history)[self.during]
        threshold = self.at_least if self.at_most is None else self.at_most
        _, rows = RowSource(history, self.count, None, self.at).count(window)
        if window == NEVER or (not rows and self.at_least is None):
            reason = f"table {self.count} has no rows{DURING_TEXT[self.during]}"
            return [no_samples(context.name, threshold=threshold, unit="count", reason=reason)]
        sure, possible = RowSource(history, self.count, self.where, self.at).count(window)
        silent = silent_clients(history, self.count)
        unknown = possible - sure
        figure = number(sure) if not unknown else f"{number(sure)} to {number(possible)}"
        limits = limits_text(
            None if self.at_least is None else number(self.at_least),
            None if self.at_most is None else number(self.at_most),
        )
        return [
            GateResult(
                name=context.name,
                verdict=limits_verdict(sure, possible + silent, self.at_least, self.at_most),
                reason=f"{figure} of {number(rows)} rows of {self.count} count in this run ({limits})"
                + silent_text(silent),
                value=float(sure),
                interval=None,
                threshold=threshold,
                unit="count",
                samples=rows,
                unknown=unknown,
            )
        ]
