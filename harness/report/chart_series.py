"""The series of a declared chart, read from a history: the only SQL of the charts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.history.read import History
from harness.history.table import quoted
from harness.report.svg import Span, Timeline
from harness.report.svg.figure import Point
from harness.sli.base import Slo
from harness.system import Chart, StateChart

DEFAULT_PERCENTILE = 95.0


@dataclass(frozen=True, slots=True)
class ChartContext:
    """`load_end_s`: when the last clients arrived, in seconds of the run; None where it is not known."""

    slos: Mapping[str, Slo] = field(default_factory=dict)
    load_end_s: float | None = None

    def percentile(self, slo: str | None, table: str, column: str) -> float:
        """Which percentile an SLO is about, or else the first one on that column of the table, or else 95."""
        named = self.slos.get(slo or "")
        found = [None if named is None else named.percentile_of()]
        found += [one.percentile_of(column) for one in self.slos.values() if one.table == table]
        return next((percent for percent in found if percent is not None), DEFAULT_PERCENTILE)


MAX_ROWS = 60_000

type Lines = Mapping[str, list[Point]]
"""By group: (second of the run, value)."""


def read_slices(history: History, chart: Chart, percentile: float, slice_s: float) -> Lines:
    """One point for each group and slice of time, in the middle of the slice. Raises HistoryError."""
    value = f"({chart.value}\n)"
    aggregate = {
        "percentile": f"quantile_disc({value}, {percentile / 100})",
        "mean": f"avg({value})",
        "share": f"avg(CAST({value} AS INTEGER))",
        "sum": f"sum({value})",
    }[chart.shows]
    lines: dict[str, list[Point]] = defaultdict(list)
    rows = history.query(
        f"SELECT {_group(chart.by)} g, floor(({chart.at}\n) / {slice_s}) s, {aggregate} v {_from(chart)}"
        f" AND {value} IS NOT NULL GROUP BY g, s ORDER BY g, s"
    )
    for group, index, number in rows:
        lines[group].append(((float(index) + 0.5) * slice_s, float(number)))
    return dict(lines)


def read_dots(history: History, chart: Chart) -> Lines:
    """One point for each row, in order of time; of more than `MAX_ROWS` rows the first. Raises HistoryError."""
    dots: dict[str, list[Point]] = defaultdict(list)
    rows = history.query(
        f"SELECT {_group(chart.by)}, ({chart.at}\n) t, ({chart.value}\n) v {_from(chart)}"
        f" AND v IS NOT NULL ORDER BY t LIMIT {MAX_ROWS}"
    )
    for group, t, number in rows:
        dots[group].append((float(t), float(number)))
    return dict(dots)


def read_states(history: History, chart: StateChart) -> Mapping[str, list[tuple[float, str]]]:
    """By thing, its changes in order of time: (second of the run, new state). Raises HistoryError."""
    changes: dict[str, list[tuple[float, str]]] = defaultdict(list)
    rows = history.query(
        f"SELECT {_group(chart.by)}, ({chart.at}\n) t, CAST(({chart.value}\n) AS VARCHAR) v {_from(chart)}"
        f" AND v IS NOT NULL ORDER BY t LIMIT {MAX_ROWS}"
    )
    for thing, t, state in rows:
        changes[thing].append((float(t), state))
    return dict(changes)


def _group(by: str | None) -> str:
    return "'all'" if by is None else f"coalesce(CAST(({by}\n) AS VARCHAR), 'none')"


def _from(chart: Chart | StateChart) -> str:
    return f"FROM {quoted(chart.table)} WHERE ({chart.where}\n) AND ({chart.at}\n) IS NOT NULL"


MAX_TIMELINES = 12


def make_timelines(
    chart: StateChart, changes: Mapping[str, Sequence[tuple[float, str]]], end_s: float
) -> tuple[tuple[Timeline, ...], int]:
    """The things that changed most often, by name, and how many others there are."""
    chosen = sorted(changes, key=lambda thing: (-len(changes[thing]), thing))[:MAX_TIMELINES]
    timelines = (Timeline(thing, _spans(chart, changes[thing], end_s)) for thing in sorted(chosen))
    return tuple(timelines), len(changes) - len(chosen)


def _spans(chart: StateChart, changes: Sequence[tuple[float, str]], end_s: float) -> list[Span]:
    spans = []
    t, state = 0.0, chart.initial
    for at, new in [*changes, (end_s, "")]:
        if new == state:
            continue
        if at > t:
            spans.append(Span(t, at, state, chart.levels.get(state, "bad")))
        t, state = at, new
    return spans
