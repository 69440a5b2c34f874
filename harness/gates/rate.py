"""`rate` and `throughput`: how many rows a run has each second, and how much of something."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from pydantic import model_validator

from harness.diagnostics import Diagnostic
from harness.experiment.units import Bitrate, PositiveDuration, Rate, Ratio
from harness.gates.base import CheckContext, JudgeContext
from harness.gates.during import DURING_TEXT, load_end_s
from harness.gates.registry import gate_kind
from harness.gates.result import GateResult, no_samples, worst
from harness.gates.rows import (
    AT,
    SURE,
    VALUE,
    RowsGate,
    RowSource,
    check_limits,
    check_rows,
    limits_text,
    limits_verdict,
    silent_clients,
)
from harness.history.metadata import HistoryError
from harness.history.read import History
from harness.sli.checks import check_table_expression
from harness.sli.formatting import clock, number, quantity, ratio
from harness.sli.query import Window, windows


@dataclass(frozen=True, slots=True)
class _Slice:
    """A part of the run and what is counted in it: at least `low`, at most `high`."""

    start_s: float
    end_s: float
    low: float
    high: float


class _PerSecondGate(RowsGate):
    window: PositiveDuration | None = None
    """The rate of every part of this length is within the limits, not only that of the whole time."""

    @property
    def can_abort(self) -> bool:
        return self.window is not None and self.limits[0] is None

    @property
    def table_name(self) -> str:
        raise NotImplementedError

    @property
    def limits(self) -> tuple[float | None, float | None]:
        """At least, at most."""
        raise NotImplementedError

    def format(self, value: float) -> str:
        return f"{number(value)}/s"

    def slices(self, history: History, value: str | None) -> list[_Slice]:
        """What is counted each second: the number of rows, or the sum of `value`.

        The time ends with the last arrival of a client, as the rate falls then by itself; where arrivals are not
        known, with the run. A part that is not whole at the end is left out.
        """
        during = windows(history)[self.during]
        start_s, end_s = during.start_s or 0.0, min(load_end_s(history), during.end_s or math.inf)
        length_s = self.window or end_s - start_s
        if not 0 < length_s <= end_s - start_s:
            return []
        count = math.floor((end_s - start_s) / length_s + 1e-9)
        rows = RowSource(history, self.table_name, self.where, self.at).sql(
            Window(start_s, start_s + count * length_s), value
        )
        amount, most = ("1", "1") if value is None else (f"coalesce({VALUE}, 0)", VALUE)
        found = history.query(
            f"SELECT floor(({AT} - {start_s!r}) / {length_s!r})::BIGINT, "
            f"sum(CASE WHEN {SURE} THEN {amount} ELSE 0 END), sum({most}), count({most}) < count(*) "
            f"FROM {rows} GROUP BY 1"
        )
        by_index = {
            index: (float(low), math.inf if open_ else float(high)) for index, low, high, open_ in found
        }
        # A row without a moment may lie in every part, and so may that of a client that did not report.
        _, anywhere = by_index.pop(None, (0.0, 0.0))
        if value is None:
            anywhere += silent_clients(history, self.table_name)
        parts = []
        for index in range(count):
            low, high = by_index.get(index, (0.0, 0.0))
            at_s = start_s + index * length_s
            parts.append(_Slice(at_s, at_s + length_s, low / length_s, (high + anywhere) / length_s))
        return parts

    def result(self, name: str, parts: list[_Slice], unit: str) -> GateResult:
        """Of each part by itself. `value`: of the part that is the worst."""
        at_least, at_most = self.limits
        threshold = at_least if at_most is None else at_most
        if not parts:
            reason = f"there is no such time{DURING_TEXT[self.during]} to measure in"
            return no_samples(name, threshold=threshold, unit=unit, reason=reason)
        verdicts = [limits_verdict(part.low, part.high, at_least, at_most) for part in parts]
        lowest, highest = min(parts, key=lambda part: part.low), max(parts, key=lambda part: part.high)
        too_high = at_most is not None and (at_least is None or highest.high > at_most)
        part, value = (highest, highest.high) if too_high else (lowest, lowest.low)
        where = f" from {clock(part.start_s)} to {clock(part.end_s)}"
        where += "" if len(parts) == 1 else f", the worst of {len(parts)} parts,"
        limits = limits_text(
            None if at_least is None else self.format(at_least),
            None if at_most is None else self.format(at_most),
        )
        return GateResult(
            name=name,
            verdict=worst(verdicts),
            reason=f"{self.format(value) if math.isfinite(value) else 'unknown'}{where} in this run ({limits})",
            value=value if math.isfinite(value) else None,
            interval=None,
            threshold=threshold,
            unit=unit,
            samples=len(parts),
        )


@gate_kind
class RateGate(_PerSecondGate):
    """The number of rows each second is within limits. It is an exact fact of this run, no claim about other runs."""

    key: ClassVar = "rate"

    rate: str
    """A table of the system, or events."""
    at_least: Rate | None = None
    """The smallest number of rows each second, such as 3/s."""
    at_most: Rate | None = None
    """The largest number of rows each second, such as 5/s."""

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        check_limits(self.at_least, self.at_most)
        return self

    @property
    def table_name(self) -> str:
        return self.rate

    @property
    def limits(self) -> tuple[float | None, float | None]:
        return self.at_least, self.at_most

    @property
    def label(self) -> str:
        return f"rate of {self.rate}"

    def check(self, context: CheckContext) -> Iterator[Diagnostic]:
        yield from check_rows(context.system, self.rate, self.where, self.at, table_key="rate")

    def judge(self, history: History, context: JudgeContext) -> Iterable[GateResult]:
        return [self.result(context.name, self.slices(history, None), "/s")]


@gate_kind
class ThroughputGate(_PerSecondGate):
    """The sum of a number of bits each second is at least this. It is an exact fact of this run."""

    key: ClassVar = "throughput"

    throughput: str
    """What is summed up: an SQL expression in bits, such as bytes * 8."""
    table: str
    """A table of the system, or events."""
    at_least: Bitrate
    """The smallest sum each second, such as 5Mbps."""

    @property
    def table_name(self) -> str:
        return self.table

    @property
    def limits(self) -> tuple[float | None, float | None]:
        return self.at_least, None

    @property
    def label(self) -> str:
        return f"throughput {self.throughput}"

    def format(self, value: float) -> str:
        return quantity(value, "bps")

    def check(self, context: CheckContext) -> Iterator[Diagnostic]:
        yield from check_rows(context.system, self.table, self.where, self.at)
        for problem in check_table_expression(
            context.system, self.table, self.throughput, key="throughput", numeric=True
        ):
            if problem.path == ("throughput",):
                yield problem

    def judge(self, history: History, context: JudgeContext) -> Iterable[GateResult]:
        return [self.result(context.name, self.slices(history, self.throughput), "bps")]


@gate_kind
class ArrivalsGate(_PerSecondGate):
    """Of the clients that arrive in each part of the run, so many have a row of that time: starts against expected.

    `at` is the moment at which a row is expected, such as `started_at_s`: a client that arrives in a part and starts in
    the next one counts where it began. Parts in which no client arrives are left out.
    """

    key: ClassVar = "arrivals"

    arrivals: str
    """A table of the system with a row for each client."""
    at_least: Ratio
    """The smallest number of rows for each client that arrives, such as 95%."""

    @property
    def table_name(self) -> str:
        return self.arrivals

    @property
    def limits(self) -> tuple[float | None, float | None]:
        return self.at_least, None

    @property
    def label(self) -> str:
        return f"{self.arrivals} per arrival"

    def format(self, value: float) -> str:
        return ratio(value)

    def check(self, context: CheckContext) -> Iterator[Diagnostic]:
        yield from check_rows(context.system, self.arrivals, self.where, self.at, table_key="arrivals")

    def judge(self, history: History, context: JudgeContext) -> Iterable[GateResult]:
        if "clients" not in history.tables:
            raise HistoryError("the run has no table clients, so arrivals are not known")
        parts = []
        for part in self.slices(history, None):
            ((arrived,),) = history.query(
                f"SELECT count(*) FROM clients WHERE arrived_s >= {part.start_s!r} AND arrived_s < {part.end_s!r}"
            )
            length_s = part.end_s - part.start_s
            if arrived:
                low, high = part.low * length_s / arrived, part.high * length_s / arrived
                parts.append(_Slice(part.start_s, part.end_s, low, high))
        return [self.result(context.name, parts, "ratio")]
