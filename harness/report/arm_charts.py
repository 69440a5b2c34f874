"""What a safeguard is good for, drawn: the SLO of each ablation arm over time, in the main run and without it.

An SLO that is a share is drawn as the rows that are not good, counted up: few rows make no noise then, and where
the lines part is when it hurt. A percentile is drawn slice by slice, with its limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.experiment.model import PercentileSlo, RatioSlo, RecoveredGate, Slo, SloGate
from harness.history.errors import HistoryError
from harness.history.read import History
from harness.history.table import quoted
from harness.report import formatting as words
from harness.report.chart_context import Asked
from harness.report.charts import bands, marks, slice_of
from harness.report.downsample import Point
from harness.report.svg import Band, Figure, Series
from harness.sli.threshold import parse_limit
from harness.verdict.arms import gates_of
from harness.verdict.model import ExperimentResult
from harness.verdict.recorded import RecordedRun

type Stated = SloGate | RecoveredGate


def comparisons(run: RecordedRun, result: ExperimentResult) -> tuple[Figure, ...]:
    """One figure for each SLO that arms are about. Raises HistoryError where the run cannot be read."""
    if not result.arms:
        return ()
    named = f"without {', '.join(result.without)}" if result.without else "with all safeguards"
    found: dict[tuple[str, str | None], list[tuple[str, History]]] = {}
    stated: dict[tuple[str, str | None], Stated] = {}
    for recorded in run.arms:
        gate = gates_of(recorded.arm, run.experiment)[0]
        key = (recorded.arm.slo, gate.where)
        stated.setdefault(key, gate)
        found.setdefault(key, [(named, run.main)]).append((recorded.name, recorded.history))
    end_s = max(_end(history) for histories in found.values() for _, history in histories)
    faults = bands(result.faults, end_s)
    moments = marks(Asked(load_end_s=run.load_end_s))
    figures = []
    for key, histories in found.items():
        slo = run.slos[key[0]]
        try:
            figures.append(
                replace(_figure(key[0], slo, stated[key], histories, faults, end_s), marks=moments)
            )
        except HistoryError:
            # The SLO cannot be computed: the gate says so, with the reason, as an error.
            continue
    return tuple(figures)


def _figure(
    name: str,
    slo: Slo,
    gate: Stated,
    histories: Sequence[tuple[str, History]],
    faults: Sequence[Band],
    end_s: float,
) -> Figure:
    title = f"{name}, with and without the safeguard"
    if isinstance(slo, RatioSlo):
        lines = [(arm, _counted(history, slo, gate.where, end_s)) for arm, history in histories]
        last = ", ".join(f"{line[-1][1]:,.0f} {arm}" for arm, line in lines)
        note = f"Rows of {slo.table} that are not good, counted up: {last}."
        return Figure(
            title,
            note,
            end_s,
            faults,
            series=tuple(Series(arm, line=line) for arm, line in lines),
            tick=lambda value: f"{value:,.0f}" if value == int(value) else "",
        )
    limit, unit = parse_limit(slo.at_most if gate.at_most is None else gate.at_most)
    slice_s = slice_of(end_s)
    return Figure(
        title,
        f"{slo.percentile:g}th percentile of each slice of time, of all rows that the SLO is about.",
        end_s,
        faults,
        series=tuple(
            Series(arm, line=_percentiles(history, slo, gate.where, slice_s), gap_s=4 * slice_s)
            for arm, history in histories
        ),
        tick=lambda value: words.quantity(value, unit),
        threshold=(limit, f"threshold ≤ {words.quantity(limit, unit)}"),
    )


def _end(history: History) -> float:
    """The last moment that any row knows."""
    ends = [history.query(f'SELECT max("t_s") FROM {quoted(table)}')[0][0] for table in history.tables]
    return max((float(end) for end in ends if end is not None), default=0.0)


def _where(slo: Slo, where: str | None) -> str:
    conditions = [f"({condition}\n)" for condition in (slo.where, where) if condition is not None]
    return " AND ".join([*conditions, f"({slo.at}\n) IS NOT NULL"])


def _counted(history: History, slo: RatioSlo, where: str | None, end_s: float) -> list[Point]:
    bad = f"NOT coalesce(({slo.good}\n), false)" if slo.good is not None else f"coalesce(({slo.bad}\n), true)"
    slice_s = slice_of(end_s)
    rows = history.query(
        f"SELECT floor(({slo.at}\n) / {slice_s}) s, count(*) FROM {quoted(slo.table)} "
        f"WHERE {_where(slo, where)} AND {bad} GROUP BY 1 ORDER BY 1"
    )
    # Flat until it happens, then up within its slice: never a slope where nothing happened.
    line, total = [(0.0, 0.0)], 0.0
    for index, count in rows:
        line.append((float(index) * slice_s, total))
        total += count
        line.append((min((float(index) + 1) * slice_s, end_s), total))
    return [*line, (end_s, total)]


def _percentiles(history: History, slo: PercentileSlo, where: str | None, slice_s: float) -> list[Point]:
    value = f"CAST(({slo.value}\n) AS DOUBLE)"
    rows = history.query(
        f"SELECT floor(({slo.at}\n) / {slice_s}) s, quantile_disc({value}, {slo.percentile / 100}) "
        f"FROM {quoted(slo.table)} WHERE {_where(slo, where)} AND isfinite({value}) GROUP BY 1 ORDER BY 1"
    )
    return [((float(index) + 0.5) * slice_s, float(found)) for index, found in rows if found is not None]
