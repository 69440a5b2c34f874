"""The figures of two run directories of one experiment, read and compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.history.metadata import HistoryError
from harness.history.read import History
from harness.history.table import quoted
from harness.parity.comparison import Measurement, compare_results
from harness.parity.model import Distribution, ExperimentParity, compare_samples
from harness.system import ParityMetric
from harness.verdict.model import ExperimentResult
from harness.verdict.recorded import RecordedRun


def compare_runs(
    sim: ExperimentResult, live: ExperimentResult, metrics: Sequence[ParityMetric]
) -> ExperimentParity:
    """Two results, and the run directories that they name, compared."""
    measured: dict[str, tuple[Measurement, Measurement]] = {}
    distributions: list[Distribution] = []
    errors: list[str] = []
    if Path(sim.run).is_dir() and Path(live.run).is_dir():
        try:
            with RecordedRun(Path(sim.run)) as sim_run, RecordedRun(Path(live.run)) as live_run:
                virtual, real = sim_run.main, live_run.main
                distributions += _compare_durations(virtual, real)
                for metric in metrics:
                    try:
                        measured[metric.name] = (_measure(virtual, metric), _measure(real, metric))
                    except (HistoryError, TypeError, ValueError) as error:
                        errors.append(f"{metric.name}: cannot be computed: {error}")
        except HistoryError as error:
            errors.append(str(error))
    comparisons = tuple(compare_results(sim, live, metrics, measured))
    return ExperimentParity(sim, live, comparisons, tuple(distributions), tuple(errors))


def _measure(history: History, metric: ParityMetric) -> Measurement:
    history.check(metric.value, metric.table, aggregates=True)
    history.check(metric.where, metric.table)
    ((value, rows),) = history.query(
        f"SELECT ({metric.value}\n), count(*) FROM {quoted(metric.table)} WHERE ({metric.where}\n)"
    )
    return Measurement(None if value is None else float(value), int(rows))


def _compare_durations(sim: History, live: History) -> Iterator[Distribution]:
    """Every column of seconds that is a duration, not a moment (`t_s`, `..._at_s`)."""
    for table, columns in sim.tables.items():
        for column, kind in columns.items():
            if kind == "DOUBLE" and column.endswith("_s") and not _is_moment(column):
                samples = (_values(history, table, column) for history in (sim, live))
                compared = compare_samples(table, column, *samples)
                if compared is not None:
                    yield compared


def _is_moment(column: str) -> bool:
    return column in ("t_s", "fault_start_s", "fault_end_s") or column.endswith("_at_s")


def _values(history: History, table: str, column: str) -> list[float]:
    if column not in history.tables.get(table, {}):
        return []
    name = quoted(column)
    rows = history.query(f"SELECT {name} FROM {quoted(table)} WHERE {name} IS NOT NULL")
    return [float(row[0]) for row in rows]
