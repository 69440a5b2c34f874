"""The same experiments in virtual time and live: both are run, then compared (`harness.parity.compare`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from harness.engine.events import Handler
from harness.engine.experiment import Finish
from harness.engine.load import Loaded
from harness.engine.rundir import suite_stamp
from harness.engine.suite import run_suite
from harness.engine.unsupported import unsupported
from harness.errors import UsageError
from harness.gates.result import EXIT_CODES, Verdict, worst
from harness.history.errors import HistoryError
from harness.history.read import History
from harness.history.table import quoted
from harness.live.options import LiveOptions
from harness.parity.compare import Measured, Pair, compare
from harness.parity.distance import Distribution, distribution
from harness.sim.options import SimOptions
from harness.system import ParityMetric
from harness.verdict.model import ExperimentResult

type Report = Callable[[str], AbstractContextManager[Sequence[Handler]]]
"""Given `live` or `sim`: who hears of that half, for as long as it runs."""


@dataclass(frozen=True, slots=True)
class Parity:
    """`directory`: where the runs of both halves are, and the report. No pairs when it was interrupted early."""

    directory: Path
    pairs: tuple[Pair, ...]
    interrupted: bool = False
    left_out: tuple[str, ...] = ()
    """Experiments that virtual time cannot run, and why."""

    @property
    def verdict(self) -> Verdict:
        if self.interrupted:
            return Verdict.INTERRUPTED
        return worst(pair.verdict for pair in self.pairs)

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]


def parity(
    loaded: Sequence[Loaded],
    *,
    seeds: Sequence[int],
    reports: Path,
    jobs: int,
    live_jobs: int,
    report: Report,
    finish: Finish | None = None,
    live: LiveOptions = LiveOptions(),  # noqa: B008 (immutable)
) -> Parity:
    """Run everything twice, live and in virtual time, each as a suite of its own below `directory`.

    Live first: it is the one that may have to be refused. What virtual time cannot run is left out, and said.
    Raises UsageError before anything starts, also when nothing is left.
    """
    capabilities = SimOptions().capabilities()
    lacks = {item.shown: unsupported(item, capabilities) for item in loaded}
    left_out = tuple(str(lack) for found in lacks.values() for lack in found)
    loaded = [item for item in loaded if not lacks[item.shown]]
    if not loaded:
        raise UsageError(left_out)
    directory = _new_directory(reports)
    with report(LiveOptions.name) as handlers:
        real = run_suite(
            loaded,
            seeds=seeds,
            jobs=live_jobs,
            reports=directory / LiveOptions.name,
            handlers=handlers,
            finish=finish,
            runtime=live,
        )
    if real.verdict is Verdict.INTERRUPTED:
        return Parity(directory, (), interrupted=True, left_out=left_out)
    with report(SimOptions.name) as handlers:
        virtual = run_suite(
            loaded,
            seeds=seeds,
            jobs=jobs,
            reports=directory / SimOptions.name,
            handlers=handlers,
            finish=finish,
            runtime=SimOptions(),
        )
    if virtual.verdict is Verdict.INTERRUPTED:
        return Parity(directory, (), interrupted=True, left_out=left_out)
    systems = [item.system for item in loaded for _ in seeds]
    return Parity(
        directory,
        tuple(
            pair(a, b, system.parity_metrics)
            for a, b, system in zip(virtual.results, real.results, systems, strict=True)
        ),
        left_out=left_out,
    )


def _new_directory(reports: Path) -> Path:
    """Named, not made: nothing is written for what is refused."""
    stamp = suite_stamp()
    names = [f"parity-{stamp}", *(f"parity-{stamp}-{n}" for n in range(2, 1000))]
    return next(reports / name for name in names if not (reports / name).exists())


def pair(sim: ExperimentResult, live: ExperimentResult, parity_metrics: Sequence[ParityMetric]) -> Pair:
    """Compare two results, and the run directories that they name."""
    measured: dict[str, tuple[Measured, Measured]] = {}
    distributions: list[Distribution] = []
    broken: list[str] = []
    if Path(sim.run).is_dir() and Path(live.run).is_dir():
        try:
            with History(Path(sim.run)) as virtual, History(Path(live.run)) as real:
                distributions += _distributions(virtual, real)
                for each in parity_metrics:
                    try:
                        measured[each.name] = (_measure(virtual, each), _measure(real, each))
                    except (HistoryError, TypeError, ValueError) as error:
                        broken.append(f"{each.name}: cannot be computed: {error}")
        except HistoryError as error:
            broken.append(str(error))
    comparisons = tuple(compare(sim, live, parity_metrics, measured))
    return Pair(sim, live, comparisons, tuple(distributions), tuple(broken))


def _measure(history: History, wanted: ParityMetric) -> Measured:
    ((value, rows),) = history.query(
        f"SELECT ({wanted.value}\n), count(*) FROM {quoted(wanted.table)} WHERE ({wanted.where}\n)"
    )
    return Measured(None if value is None else float(value), int(rows))


def _distributions(sim: History, live: History) -> Iterator[Distribution]:
    """The durations of two histories: columns of seconds that are no moments (`t_s`, `..._at_s`)."""
    for table, columns in sim.tables.items():
        for column, kind in columns.items():
            if kind != "DOUBLE" or not column.endswith("_s") or _moment(column):
                continue
            found = distribution(table, column, *(_values(history, table, column) for history in (sim, live)))
            if found is not None:
                yield found


def _moment(column: str) -> bool:
    return column in ("t_s", "fault_start_s", "fault_end_s") or column.endswith("_at_s")


def _values(history: History, table: str, column: str) -> list[float]:
    if column not in history.tables.get(table, {}):
        return []
    name = quoted(column)
    rows = history.query(f"SELECT {name} FROM {quoted(table)} WHERE {name} IS NOT NULL ORDER BY 1")
    return [float(row[0]) for row in rows]
