"""The same experiments in virtual time and live: both are run, then compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from harness.engine.events import SuiteFinished
from harness.engine.read import ReadyExperiment, unsupported
from harness.engine.rundir import suite_stamp
from harness.engine.suite import run_suite
from harness.errors import UsageError
from harness.gates.result import Verdict
from harness.history.metadata import HistoryError
from harness.history.read import History
from harness.history.table import quoted
from harness.live.options import LiveOptions
from harness.parity.comparison import Measurement, compare_results
from harness.parity.model import Distribution, ExperimentParity, ParityResult, compare_samples
from harness.report.registry import Reporters
from harness.runtime.options import RuntimeOptions
from harness.sim.options import SimOptions
from harness.system import ParityMetric
from harness.verdict.model import ExperimentResult
from harness.verdict.recorded import RecordedRun

type OpenReporters = Callable[[str], AbstractContextManager[Reporters]]
"""Given `live` or `sim`: the reporters of that half, for as long as it runs."""


def run_parity(
    loaded: Sequence[ReadyExperiment],
    *,
    seeds: Sequence[int],
    reports: Path,
    jobs: int,
    live_jobs: int,
    open_reporters: OpenReporters,
    live: LiveOptions = LiveOptions(),  # noqa: B008 (immutable)
) -> ParityResult:
    """Run everything twice, live and in virtual time, each as a suite of its own below one directory.

    Live first: it is the half that may be refused. Experiments that virtual time cannot run are left out, and named
    in the result. Raises UsageError before anything starts, also when none is left.
    """
    capabilities = SimOptions().capabilities()
    lacks = {item.display_path: unsupported(item, capabilities) for item in loaded}
    left_out = tuple(str(lack) for found in lacks.values() for lack in found)
    loaded = [item for item in loaded if not lacks[item.display_path]]
    if not loaded:
        raise UsageError(left_out)
    directory = _new_directory(reports)

    def run_half(runtime: RuntimeOptions, jobs: int) -> SuiteFinished:
        with open_reporters(runtime.name) as reporters:
            return run_suite(
                loaded,
                seeds=seeds,
                jobs=jobs,
                reports=directory / runtime.name,
                handlers=reporters.handlers,
                finish=reporters.finish,
                runtime=runtime,
            )

    real = run_half(live, live_jobs)
    if real.verdict is Verdict.INTERRUPTED:
        return ParityResult(directory, (), interrupted=True, left_out=left_out)
    virtual = run_half(SimOptions(), jobs)
    if virtual.verdict is Verdict.INTERRUPTED:
        return ParityResult(directory, (), interrupted=True, left_out=left_out)
    systems = [item.system for item in loaded for _ in seeds]
    experiments = (
        compare_runs(sim, other, system.parity_metrics)
        for sim, other, system in zip(virtual.results, real.results, systems, strict=True)
    )
    return ParityResult(directory, tuple(experiments), left_out=left_out)


def _new_directory(reports: Path) -> Path:
    """A path that does not exist yet. It is not made here: nothing is written for what is refused."""
    stamp = suite_stamp()
    names = [f"parity-{stamp}", *(f"parity-{stamp}-{n}" for n in range(2, 1000))]
    return next(reports / name for name in names if not (reports / name).exists())


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
