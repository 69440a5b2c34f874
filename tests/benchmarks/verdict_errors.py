"""How often verdicts are wrong when the truth is just at the threshold. Prints the table of docs/verdicts.md.

python -m tests.benchmarks.verdict_errors
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harness.sli.clusters import Counts, chance_of_difference
from harness.sli.statistics import CONFIDENCE

type Rows = tuple[np.ndarray, np.ndarray]
"""Rows and bad rows of each client."""


@dataclass(frozen=True, slots=True)
class Setting:
    """`correlation` of the rows of one client: 0 is independent, 1 is wholly good or bad."""

    clients: int
    rows: int
    bad: float
    correlation: float

    def draw(self, rng: np.random.Generator) -> Rows:
        rows = rng.integers(1, 2 * self.rows, self.clients) if self.rows > 1 else np.ones(self.clients, int)
        if self.correlation == 0:
            return rows, rng.binomial(rows, self.bad)
        if self.correlation == 1:
            return rows, rows * (rng.random(self.clients) < self.bad)
        scale = (1 - self.correlation) / self.correlation
        return rows, rng.binomial(rows, rng.beta(self.bad * scale, (1 - self.bad) * scale, self.clients))


def counts(drawn: Rows) -> Counts:
    rows, bad = drawn
    return Counts(*(int(n) for n in (rows.sum(), bad.sum(), rows.size, rows @ rows, bad @ bad, rows @ bad)))


def wrong_verdicts(setting: Setting, runs: int, seed: int = 1) -> tuple[float, float]:
    """The shares of runs that pass, and that fail, a gate on a ratio, a percentile or a recovery at its very target."""
    rng = np.random.default_rng(seed)
    verdicts = [counts(setting.draw(rng)).holds(1 - setting.bad) for _ in range(runs)]
    return verdicts.count(True) / runs, verdicts.count(False) / runs


def wrong_differences(setting: Setting, runs: int, seed: int = 1) -> float:
    """The share of runs in which an arm differs from a main run that is alike."""
    rng = np.random.default_rng(seed)
    chances = [
        chance_of_difference(counts(setting.draw(rng)), counts(setting.draw(rng))) for _ in range(runs)
    ]
    return float(np.mean(np.array(chances) <= 1 - CONFIDENCE))


def settings(clients: tuple[int, ...] = (60, 300)) -> Iterator[Setting]:
    for number in clients:
        for rows in (1, 8):
            for correlation in (0.0, 0.1, 0.4, 1.0) if rows > 1 else (0.0,):
                for bad in (0.02, 0.1, 0.5):
                    yield Setting(number, rows, bad, correlation)


def main() -> None:
    for correlation in (0.0, 0.1, 0.4, 1.0):
        chosen = [one for one in settings() if one.correlation == correlation]
        verdicts = [wrong_verdicts(one, 2000) for one in chosen]
        passes, fails = (max(column) for column in zip(*verdicts, strict=True))
        print(f"| ratio, percentile, recovered | correlation {correlation:g} | {passes:.1%} | {fails:.1%} |")
        print(
            f"| arm | correlation {correlation:g} | {max(wrong_differences(s, 1000) for s in chosen):.1%} | - |"
        )


if __name__ == "__main__":
    main()
