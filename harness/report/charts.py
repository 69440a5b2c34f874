"""The charts of a run's page: those that its system declares, drawn from the run's history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.gates.result import GateResult
from harness.history.metadata import HistoryError
from harness.history.read import History
from harness.history.table import quoted
from harness.report.chart_series import ChartContext, make_timelines, read_dots, read_slices, read_states
from harness.report.formatting import fault_label, gate_threshold
from harness.report.svg import MAX_SERIES, Band, Figure, Mark, Series
from harness.report.svg.figure import Point
from harness.sli.formatting import quantity
from harness.system import Chart, StateChart
from harness.system.processor import PROCESSORS
from harness.verdict.model import FaultResult

MAX_SLICES = 75
SLICES_S = (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
"""Faults begin at round times: slices of these lengths do not mix what was before with what came after."""


def bands(faults: Iterable[FaultResult], end_s: float) -> tuple[Band, ...]:
    """The faults that were applied, as bands; one never undone lasts to the end."""
    return tuple(
        Band(fault_label(fault), fault.applied_at_s, end)
        for fault in faults
        if fault.applied_at_s is not None
        for end in [end_s if fault.undone_at_s is None else fault.undone_at_s]
    )


def last_moment_s(history: History) -> float:
    """The last moment of the run in any row, in seconds; 0 when there are no rows."""
    moments = [
        history.query(f'SELECT max("t_s") FROM {quoted(table)}')[0][0]
        for table, columns in history.tables.items()
        if "t_s" in columns
    ]
    return max((float(moment) for moment in moments if moment is not None), default=0.0)


def slice_of(end_s: float) -> float:
    """How long the slices of time are, in seconds: at most `MAX_SLICES` of them."""
    return next((length for length in SLICES_S if end_s / length <= MAX_SLICES), end_s / MAX_SLICES)


def marks(load_end_s: float | None) -> tuple[Mark, ...]:
    """When the last clients arrived: from then on rows become fewer."""
    return () if load_end_s is None else (Mark("last arrivals", load_end_s),)


def draw_charts(
    charts: Iterable[Chart | StateChart],
    history: History,
    faults: Sequence[FaultResult],
    gates: Sequence[GateResult] = (),
    context: ChartContext = ChartContext(),  # noqa: B008 (immutable)
) -> Iterator[Figure]:
    """The charts in their order; those without rows are left out, unless they say what that means."""
    end_s = last_moment_s(history)
    if end_s <= 0:
        return
    run = _Run(
        history, end_s, slice_of(end_s), bands(faults, end_s), gates, context, marks(context.load_end_s)
    )
    for chart in charts:
        try:
            figure = run.states(chart) if isinstance(chart, StateChart) else run.values(chart)
        except HistoryError as error:
            figure = run.text(chart.name, f"This chart cannot be drawn: {error}.")
        if figure is not None:
            yield figure


ARRIVALS = Chart(
    name="Arrivals",
    table="clients",
    shows="sum",
    value="1",
    at="arrived_s",
    unit="count",
    note="Clients that arrived",
)


PROCESSOR_CHARTS = (
    Chart(
        name="Processor utilisation",
        table=PROCESSORS,
        shows="mean",
        value="utilisation",
        by="role",
        unit="ratio",
        note="Share of its cores that worked, by role",
    ),
    Chart(
        name="Work that waits for a core",
        table=PROCESSORS,
        shows="mean",
        value="queue",
        by="role",
        unit="count",
        note="Mean length of a node's queue, by role",
    ),
)


def draw_processors(
    history: History, faults: Sequence[FaultResult], context: ChartContext
) -> Iterator[Figure]:
    """What the processors did over time; nothing for a history without them."""
    if PROCESSORS in history.tables:
        yield from draw_charts(PROCESSOR_CHARTS, history, faults, (), context)


def draw_arrivals(history: History, faults: Sequence[FaultResult], context: ChartContext) -> Iterator[Figure]:
    """The arrivals over time; nothing for a history that does not have them."""
    if "arrived_s" in history.tables.get(ARRIVALS.table, {}):
        yield from draw_charts([ARRIVALS], history, faults, (), context)


@dataclass(frozen=True, slots=True)
class _Run:
    """What all charts of a run share."""

    history: History
    end_s: float
    slice_s: float
    bands: Sequence[Band]
    gates: Sequence[GateResult]
    context: ChartContext
    marks: Sequence[Mark]

    def text(self, title: str, note: str) -> Figure:
        return Figure(title, note, self.end_s, kind="text")

    def states(self, chart: StateChart) -> Figure | None:
        timelines, left_out = make_timelines(chart, read_states(self.history, chart), self.end_s)
        if not timelines:
            return None
        levels = {span.state: span.level for timeline in timelines for span in timeline.spans}
        return Figure(
            chart.name,
            _sentences(chart.note, f"{left_out} with fewer changes are left out" if left_out else ""),
            self.end_s,
            self.bands,
            kind="states",
            timelines=timelines,
            legend=sorted(levels.items(), key=lambda item: ("ok", "warn", "bad").index(item[1])),
            marks=self.marks,
        )

    def values(self, chart: Chart) -> Figure | None:
        percentile = self._percentile(chart)
        lines = read_slices(self.history, chart, percentile, self.slice_s)
        if not lines:
            return self.text(chart.name, chart.empty) if chart.empty else None
        if chart.shows == "share" and all(y == 1 for line in lines.values() for _, y in line):
            # A straight line along the top would take the room of one that tells something.
            return self.text(chart.name, _sentences(chart.note, f"100% all the time ({', '.join(lines)})"))
        if chart.shows == "sum":
            return self._bars(chart, lines)
        dots = read_dots(self.history, chart) if chart.dots else {}
        names = sorted({*dots, *lines})
        left_out = len(names) - MAX_SERIES
        return Figure(
            chart.name,
            _sentences(
                chart.note,
                _SHOWS[chart.shows].format(percentile=percentile),
                f"{left_out} more groups are left out" if left_out > 0 else "",
            ),
            self.end_s,
            self.bands,
            series=[
                Series(name, dots.get(name, ()), lines.get(name, ()), 4 * self.slice_s)
                for name in names[:MAX_SERIES]
            ],
            tick=_tick("ratio" if chart.shows == "share" else chart.unit),
            y_range=_share_range(lines) if chart.shows == "share" else None,
            threshold=self._threshold(chart, percentile),
            marks=self.marks,
        )

    def _bars(self, chart: Chart, lines: Mapping[str, Sequence[Point]]) -> Figure:
        totals: dict[float, float] = {}
        for line in lines.values():
            for t, y in line:
                start_s = t - self.slice_s / 2
                totals[start_s] = totals.get(start_s, 0.0) + y
        tick = _tick(chart.unit)
        return Figure(
            chart.name,
            _sentences(chart.note, f"Sum of each slice of time, {tick(sum(totals.values()))} in all"),
            self.end_s,
            self.bands,
            kind="bars",
            series=[Series(chart.name, line=sorted(totals.items()))],
            bar_s=self.slice_s,
            tick=tick,
            marks=self.marks,
        )

    def _percentile(self, chart: Chart) -> float:
        if chart.slo is None or chart.slo not in self.context.slos:
            return chart.percentile
        return self.context.percentile(chart.slo, chart.table, chart.value)

    def _threshold(self, chart: Chart, percentile: float) -> tuple[float, str] | None:
        """That of the first gate of the chart's SLO."""
        for gate in self.gates:
            if chart.slo is not None and gate.slo == chart.slo and gate.threshold is not None:
                return gate.threshold, f"threshold of p{percentile:g} {gate_threshold(gate)}"
        return None


_SHOWS = {
    "percentile": "Lines are the {percentile:g}th percentile of each slice of time",
    "mean": "Mean of each slice of time",
    "share": "Share of each slice of time",
}


def _sentences(*parts: str) -> str:
    return " ".join(f"{part}." for part in parts if part)


def _tick(unit: str) -> Callable[[float], str]:
    if unit == "ratio":
        return lambda value: f"{value * 100:.3g}%"
    return lambda value: quantity(value, unit)


def _share_range(lines: Mapping[str, Sequence[Point]]) -> tuple[float, float]:
    """The axis of a share: up to 100 %, down to where something is to be seen, at least 10 points."""
    lowest = min((y for line in lines.values() for _, y in line), default=0.0)
    return (next(floor for floor in (0.9, 0.8, 0.6, 0.0) if lowest >= floor), 1.0)
