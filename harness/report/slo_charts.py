"""Charts of SLOs: of each arm's in the main run and without the safeguard, and of the gates' in the main run alone.

A ratio is drawn as the rows that are not good, counted up: a few rows make no noise, and the lines part where it
hurts. A percentile is drawn slice by slice, with its threshold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.gates.base import Objective
from harness.history.metadata import HistoryError
from harness.history.read import History
from harness.report.charts import bands, last_moment_s, marks, slice_of
from harness.report.svg import Band, Figure, Series
from harness.report.svg.figure import Point
from harness.sli.formatting import quantity
from harness.sli.threshold import Threshold
from harness.verdict.arms import gates_of
from harness.verdict.model import ExperimentResult
from harness.verdict.recorded import RecordedRun


def arm_charts(run: RecordedRun, result: ExperimentResult) -> tuple[Figure, ...]:
    """One figure for each SLO that arms are about. Raises HistoryError where the run cannot be read."""
    if not result.arms:
        return ()
    main = f"without {', '.join(result.without)}" if result.without else "with all safeguards"
    objectives: dict[tuple[str, str | None], Objective] = {}
    histories: dict[tuple[str, str | None], dict[str, History]] = {}
    for recorded in run.arms:
        objective = gates_of(recorded.arm, run.experiment)[0].objective(run.slos)
        if objective is not None:
            key = (recorded.arm.slo, objective.where)
            objectives.setdefault(key, objective)
            histories.setdefault(key, {main: run.main})[recorded.name] = recorded.history
    end_s = max((last_moment_s(one) for found in histories.values() for one in found.values()), default=0.0)
    faults = bands(result.faults, end_s)
    moments = marks(run.load_end_s)
    figures = []
    for key, found in histories.items():
        title = f"{key[0]}, with and without the safeguard"
        try:
            figure = _figure(title, objectives[key], found, faults, end_s)
        except HistoryError:
            # The SLO cannot be computed: the gate says so, with the reason, as an error.
            continue
        figures.append(replace(figure, marks=moments))
    return tuple(figures)


def objective_charts(run: RecordedRun, result: ExperimentResult) -> tuple[Figure, ...]:
    """One figure for each SLO that gates are about, for a system that declares no charts. Raises HistoryError."""
    end_s = last_moment_s(run.main)
    faults = bands(result.faults, end_s)
    figures: dict[str, Figure] = {}
    for gate in run.experiment.gates:
        objective = gate.objective(run.slos)
        if objective is not None and end_s > 0 and gate.label not in figures:
            try:
                figure = _figure(gate.label, objective, {"this run": run.main}, faults, end_s)
            except HistoryError:
                continue  # the gate is an error, and says so
            figures[gate.label] = replace(figure, marks=marks(run.load_end_s))
    return tuple(figures.values())


def _figure(
    title: str, objective: Objective, histories: Mapping[str, History], faults: Sequence[Band], end_s: float
) -> Figure:
    slo, threshold = objective.slo, objective.threshold
    slice_s = slice_of(end_s)
    series = {
        name: slo.series(history, objective.where, slice_s, end_s) for name, history in histories.items()
    }
    note = slo.describe_series(series)
    if slo.cumulative:
        lines = tuple(Series(name, line=one.points) for name, one in series.items())
        return Figure(title, note, end_s, faults, series=lines, tick=_count)
    top = _top([one.points for one in series.values()], threshold)
    return Figure(
        title,
        note,
        end_s,
        faults,
        series=tuple(
            Series(name, line=[(t, min(value, top)) for t, value in one.points], gap_s=4 * slice_s)
            for name, one in series.items()
        ),
        tick=lambda value: quantity(value, threshold.unit),
        threshold=(threshold.value, f"threshold ≤ {quantity(threshold.value, threshold.unit)}"),
    )


def _count(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else ""


def _top(lines: Sequence[Sequence[Point]], threshold: Threshold) -> float:
    """Where an infinite value is drawn: above every finite one and above the threshold."""
    finite = [value for line in lines for _, value in line if math.isfinite(value)]
    return 1.1 * max(threshold.value, *finite, 0.0)
