"""`never` and `events`: how often an event is seen in a part of the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from harness.diagnostics import Diagnostic, unknown_name
from harness.gates.base import CheckContext, Gate, JudgeContext
from harness.gates.during import DURING_TEXT, During, during_key
from harness.gates.registry import gate_kind
from harness.gates.result import GateResult, no_samples
from harness.gates.rows import RowSource, check_limits, limits_text, limits_verdict
from harness.history.columns import EVENT_COLUMNS, Column
from harness.history.files import EVENTS
from harness.history.read import History
from harness.history.table import literal
from harness.sli.checks import check_sql
from harness.sli.formatting import number
from harness.sli.query import Window, windows

COLUMNS = (*EVENT_COLUMNS, Column("node", "VARCHAR", False))
"""What `where` knows."""


class _OccurrenceGate(Gate):
    where: str | None = None
    """Only events for which this SQL condition is true. It knows `node`, `t_s` and `fields`."""
    during: During = "all"
    """Which part of the run counts."""

    @property
    def event_name(self) -> str:
        return str(getattr(self, self.key))

    @property
    def limits(self) -> tuple[int | None, int | None]:
        """At least, at most."""
        raise NotImplementedError

    @property
    def can_abort(self) -> bool:
        return self.limits[0] is None

    @property
    def distinctions(self) -> tuple[str, ...]:
        return ("" if self.where is None else f" where {self.where}", DURING_TEXT[self.during])

    @property
    def fault_key(self) -> str | None:
        return during_key(self.during)

    def check(self, context: CheckContext) -> Iterator[Diagnostic]:
        system = context.system
        if system is None:
            return
        if self.event_name not in system.events:
            unknown = unknown_name("event", self.event_name, system.events, f"system {system.name}")
            yield unknown.below((self.key,))
        if self.where is not None:
            yield from check_sql(("where",), self.where, COLUMNS)

    def judge(self, history: History, context: JudgeContext) -> Iterable[GateResult]:
        at_least, at_most = self.limits
        threshold = at_least if at_most is None else at_most
        window = windows(history)[self.during]
        if not _is_active(history, window):
            reason = f"nothing is recorded{DURING_TEXT[self.during]}"
            return [no_samples(context.name, threshold=threshold, unit="count", reason=reason)]
        sure, possible = self._count(history, window)
        limits = limits_text(
            None if at_least is None else number(at_least), None if at_most is None else number(at_most)
        )
        figure = number(sure) if sure == possible else f"{number(sure)} to {number(possible)}"
        return [
            GateResult(
                name=context.name,
                verdict=limits_verdict(sure, possible, at_least, at_most),
                reason=f"{self.event_name} is seen {figure} times{DURING_TEXT[self.during]} in this run ({limits})",
                value=float(sure),
                interval=None,
                threshold=threshold,
                unit="count",
                samples=possible,
                unknown=possible - sure,
            )
        ]

    def _count(self, history: History, window: Window) -> tuple[int, int]:
        where = "true" if self.where is None else self.where
        history.check(where, EVENTS, also=("node",))
        rows = f"SELECT *, host AS node FROM {RowSource(history, EVENTS).sql(window)}"
        ((sure, possible),) = history.query(
            f"SELECT count(*) FILTER (WHERE follows), count(*) FILTER (WHERE coalesce(follows, true)) "
            f"FROM (SELECT ({where}\n) AS follows FROM ({rows}) WHERE event = {literal(self.event_name)})"
        )
        return int(sure), int(possible)


@gate_kind
class NeverGate(_OccurrenceGate):
    """The event is never seen. It is an exact fact of this run, no claim about other runs."""

    key: ClassVar = "never"

    never: str
    """The event of the system that must not be seen."""

    @property
    def label(self) -> str:
        return f"never {self.never}"

    @property
    def limits(self) -> tuple[int | None, int | None]:
        return None, 0


@gate_kind
class EventsGate(_OccurrenceGate):
    """The event is seen so often. It is an exact fact of this run; `event` tests whether it answers a fault."""

    key: ClassVar = "events"

    events: str
    """The event of the system that is counted."""
    at_least: Annotated[int, Field(ge=0)] | None = None
    """The smallest number of times."""
    at_most: Annotated[int, Field(ge=0)] | None = None
    """The largest number of times."""

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        check_limits(self.at_least, self.at_most)
        return self

    @property
    def label(self) -> str:
        return f"count of {self.events}"

    @property
    def limits(self) -> tuple[int | None, int | None]:
        return self.at_least, self.at_most


def _is_active(history: History, window: Window) -> bool:
    """Whether anything is recorded in the window. Without that, no event is no evidence."""
    return any(
        RowSource(history, table).count(window)[1]
        for table, columns in history.tables.items()
        if "t_s" in columns
    )
