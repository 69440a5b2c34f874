"""The same experiment in virtual time and live: how far apart the two are, gate by gate and column by column."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.engine.events import Handler
from harness.engine.experiment import Finish
from harness.engine.load import Loaded
from harness.engine.runtimes import live_runtime
from harness.engine.schedule import MakeRuntime
from harness.engine.suite import run_suite, sim_runtime
from harness.history.read import History
from harness.history.table import quoted
from harness.verdict.model import ExperimentResult, GateResult

LEAST_ROWS = 20
"""A distribution of fewer rows, in either world, is not compared."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A column's values in one world: how many, median, 90th percentile, in the column's unit."""

    rows: int
    p50: float
    p90: float


@dataclass(frozen=True, slots=True)
class Distribution:
    """One column in both worlds. `distance`: Kolmogorov-Smirnov, the largest difference of the two shares of rows
    below any value: 0 is the same distribution, 1 no overlap."""

    table: str
    column: str
    sim: Sample
    live: Sample
    distance: float


@dataclass(frozen=True, slots=True)
class Pair:
    """One experiment in both worlds."""

    sim: ExperimentResult
    live: ExperimentResult
    distributions: tuple[Distribution, ...]

    @property
    def gates(self) -> Iterator[tuple[GateResult, GateResult]]:
        """The gates that both have come to."""
        live = {gate.name: gate for gate in self.live.gates}
        for gate in self.sim.gates:
            if gate.name in live:
                yield gate, live[gate.name]

    @property
    def agree(self) -> bool:
        """The same verdict, of the experiment and of every gate and arm."""
        return _verdicts(self.sim) == _verdicts(self.live)


def _verdicts(result: ExperimentResult) -> tuple[object, ...]:
    gates = [(gate.name, gate.verdict) for gate in result.gates]
    return result.verdict, gates, [(arm.name, arm.verdict) for arm in result.arms]


def parity(
    loaded: Sequence[Loaded],
    *,
    seed: int,
    reports: Path,
    jobs: int,
    live_jobs: int,
    live: MakeRuntime = live_runtime,
    handlers: Sequence[Handler] = (),
    finish: Finish | None = None,
) -> tuple[Pair, ...]:
    """Run everything twice, in virtual time and live (by `live`), each as a suite of its own. Raises UsageError
    before."""
    common = {"seeds": [seed], "reports": reports, "handlers": handlers, "finish": finish}
    # Live first: it is the one that may have to be refused.
    real_runs = run_suite(loaded, jobs=live_jobs, runtime=live, **common)  # type: ignore[arg-type]
    sim = run_suite(loaded, jobs=jobs, runtime=sim_runtime, **common)  # type: ignore[arg-type]
    return tuple(
        Pair(virtual, real, tuple(compared(Path(virtual.run), Path(real.run))))
        for virtual, real in zip(sim.results, real_runs.results, strict=True)
    )


def compared(sim: Path, live: Path) -> Iterator[Distribution]:
    """The durations of two run directories: columns of seconds that are no moments (`t_s`, `..._at_s`)."""
    if not (sim.is_dir() and live.is_dir()):
        return
    with History(sim) as virtual, History(live) as real:
        for table, columns in virtual.tables.items():
            for column, kind in columns.items():
                if kind != "DOUBLE" or not column.endswith("_s") or _moment(column):
                    continue
                values = [_values(history, table, column) for history in (virtual, real)]
                if min(map(len, values)) >= LEAST_ROWS:
                    a, b = values
                    yield Distribution(table, column, _sample(a), _sample(b), distance(a, b))


def _moment(column: str) -> bool:
    return column in ("t_s", "fault_start_s", "fault_end_s") or column.endswith("_at_s")


def _values(history: History, table: str, column: str) -> list[float]:
    if column not in history.tables.get(table, {}):
        return []
    name = quoted(column)
    rows = history.query(f"SELECT {name} FROM {quoted(table)} WHERE {name} IS NOT NULL ORDER BY 1")
    return [float(row[0]) for row in rows]


def _sample(values: Sequence[float]) -> Sample:
    return Sample(len(values), _quantile(values, 0.5), _quantile(values, 0.9))


def _quantile(values: Sequence[float], share: float) -> float:
    """Of sorted values, linear between neighbours."""
    at = share * (len(values) - 1)
    low = int(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (at - low)


def distance(a: Sequence[float], b: Sequence[float]) -> float:
    """Kolmogorov-Smirnov distance of two sorted samples: sup |F_a - F_b|."""
    return max(
        abs(bisect.bisect_right(a, value) / len(a) - bisect.bisect_right(b, value) / len(b))
        for value in (*a, *b)
    )
