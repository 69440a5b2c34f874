"""Running experiments a second time under other conditions, and finding the first event that differs.

The second time is in new processes with another hash seed (the order of sets of strings) and another allocator (the
addresses of objects, and with them the order of sets of objects).
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.engine.plan import MAIN
from harness.engine.rundir import LATEST
from harness.errors import HarnessError
from harness.history.metadata import read_environment
from harness.verdict.model import ExperimentResult

HASH_SEEDS = ("4711", "1741")


@dataclass(frozen=True, slots=True)
class Difference:
    """The first event that differs. `first`, `second`: its columns that do, or None where there is no such row.

    `t_s`: when it happened, None where the table has no times.
    """

    experiment: str
    seed: int
    arm: str
    table: str
    row: int
    t_s: float | None
    first: Mapping[str, Any] | None
    second: Mapping[str, Any] | None

    def __str__(self) -> str:
        when = "" if self.t_s is None else f" at {self.t_s:.6f} s"
        arm = "" if self.arm == MAIN else f", arm {self.arm}"
        return (
            f"{self.experiment} seed {self.seed}{arm}: the first event that differs is row {self.row} of table "
            f"{self.table}{when}: {_format(self.first)}; the second time {_format(self.second)}"
        )


def repeat_elsewhere(arguments: Sequence[str], results: Sequence[ExperimentResult]) -> tuple[Difference, ...]:
    """Run `harness run` with these arguments in another process, and compare its histories with these results.

    One difference for each arm that has one. Raises HarnessError where the second time leaves no history.
    """
    before = os.environ.get("PYTHONHASHSEED")
    conditions = {
        "PYTHONHASHSEED": next(seed for seed in HASH_SEEDS if seed != before),
        "PYTHONMALLOC": "malloc",
    }
    with tempfile.TemporaryDirectory(prefix="harness-repeat-") as reports:
        command = [sys.executable, "-m", "harness", "run", *arguments, "--reports", reports, "--json"]
        done = subprocess.run(
            command, env={**os.environ, **conditions}, capture_output=True, text=True, check=False
        )
        again = Path(reports) / LATEST
        found = []
        for result in results:
            run = Path(result.run)
            second = again / run.name
            if not second.is_dir():
                said = (done.stderr or done.stdout).strip().splitlines()
                raise HarnessError(
                    f"{result.name} seed {result.seed}: the second run left no history: {said[-1] if said else ''}"
                )
            places = {
                MAIN: ".",
                **{arm.name: arm.directory for arm in read_environment(run).arms},
            }
            for arm, place in places.items():
                difference = first_difference(run / place, second / place)
                if difference is not None:
                    found.append(Difference(result.name, result.seed, arm, *difference))
    return tuple(found)


type _Found = tuple[str, int, float | None, Mapping[str, Any] | None, Mapping[str, Any] | None]


def first_difference(first: Path, second: Path) -> _Found | None:
    """Table, row (from 1), time, and what differs, of the earliest event that differs between two histories."""
    if read_environment(first).history_sha256 == read_environment(second).history_sha256:
        return None
    names = sorted({file.stem for directory in (first, second) for file in directory.glob("*.parquet")})
    found = [difference for name in names if (difference := _compare(name, first, second)) is not None]
    if not found:
        return "faults or failures", 1, None, {}, {}
    return min(found, key=lambda one: math.inf if one[2] is None else one[2])


def _compare(table: str, first: Path, second: Path) -> _Found | None:
    one, other = (_rows(directory / f"{table}.parquet") for directory in (first, second))
    for number in range(max(len(one), len(other))):
        here = one[number] if number < len(one) else None
        there = other[number] if number < len(other) else None
        if here == there:
            continue
        row = here if here is not None else there
        t_s = None if row is None else row.get("t_s")
        if here is None or there is None:
            return table, number + 1, t_s, here, there
        names = [name for name in here if here[name] != there.get(name)]
        return (
            table,
            number + 1,
            t_s,
            {name: here[name] for name in names},
            {name: there[name] for name in names},
        )
    return None


def _rows(file: Path) -> list[dict[str, Any]]:
    import duckdb

    if not file.exists():
        return []
    with duckdb.connect(config={"threads": 1}) as connection:
        rows = connection.execute("SELECT * FROM read_parquet(?)", [str(file)])
        names = [column[0] for column in rows.description or ()]
        # As text: a NaN is like another one.
        return [dict(zip(names, map(_plain, row), strict=True)) for row in rows.fetchall()]


def _plain(value: Any) -> Any:
    return "nan" if isinstance(value, float) and math.isnan(value) else value


def _format(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "there is none"
    return ", ".join(f"{name} = {value!r}" for name, value in row.items()) or "something else"
