"""`Slo`: the base of every kind of SLO. A kind is one file: its model, checks, SLI query and arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, ClassVar

from harness.diagnostics import Diagnostic
from harness.experiment.model import SloDefinition
from harness.history.read import History
from harness.sli.clusters import Counts
from harness.sli.formatting import number, quantity
from harness.sli.query import ClusteredRows, Window
from harness.sli.statistics import CONFIDENCE, more_samples
from harness.sli.threshold import Threshold

type Point = tuple[float, float]
"""Second of the run, value in the SLI's unit."""


@dataclass(frozen=True, slots=True)
class SliResult:
    """An SLI on the rows of one group, held against a threshold.

    `group`: None unless the SLO is stated `by` a column. `value`, `interval`: in the threshold's unit; None
    where there is no finite one. `unknown`: how many of the samples are not known and counted as bad.
    `holds`: None when the samples do not decide it. `needs`: how many more samples like them claim it with a
    probability of 95 %; None when it is decided, or no number helps. `reason`: one sentence.
    `effective`: as many independent samples carry the same evidence. `missing`: clients that may have had one sample
    more; `bounded`: the value when all of these are bad. `counts`: the good and bad rows by cluster.
    """

    group: str | None
    samples: int
    unknown: int = 0
    value: float | None = None
    interval: tuple[float, float] | None = None
    holds: bool | None = None
    needs: int | None = None
    reason: str = "no samples"
    effective: float | None = None
    missing: int = 0
    bounded: float | None = None
    counts: Counts | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """An SLI over the time of a run. `samples`: the rows it is made of, as many as the verdict's."""

    points: tuple[Point, ...]
    samples: int


class Slo(SloDefinition):
    """Base of the kinds of SLO. `kind`: what messages call it. `threshold_key`: the YAML key of its threshold.

    `numbers`, `conditions`: the fields that hold SQL, besides `where` and `at`.
    `cumulative`: whether its series counts up, or has one value for each slice of time.
    """

    kind: ClassVar[str]
    threshold_key: ClassVar[str]
    threshold_example: ClassVar[str]
    numbers: ClassVar[tuple[str, ...]] = ()
    conditions: ClassVar[tuple[str, ...]] = ()
    cumulative: ClassVar[bool] = False

    def threshold(self, overrides: Mapping[str, Any]) -> Threshold:
        """Its threshold, or the one that a gate gives under `threshold_key`. Raises InvalidValue."""
        raise NotImplementedError

    def meets(self, value: float, threshold: Threshold) -> bool:
        """Whether a value, as it is, satisfies the threshold."""
        return value <= threshold.value

    def measure(
        self, history: History, where: str | None, window: Window, threshold: Threshold
    ) -> Iterator[SliResult]:
        """One result, or one for each group of the whole history, in order. Raises HistoryError as `count` does."""
        return self.pool([self.count(history, where, window, threshold)], threshold)

    def pool(
        self,
        runs: Iterable[Iterable[ClusteredRows]],
        threshold: Threshold,
        confidence: float = CONFIDENCE,
    ) -> Iterator[SliResult]:
        """One result for each group of what was counted in several runs. `confidence`: of each bound."""
        groups: dict[str | None, ClusteredRows] = {}
        for rows in chain.from_iterable(runs):
            groups[rows.group] = groups[rows.group] + rows if rows.group in groups else rows
        for _, rows in sorted(groups.items(), key=lambda item: item[0] or ""):
            counts = replace(rows.counts, confidence=confidence)
            yield self.judge_rows(replace(rows, counts=counts), threshold)

    def count(
        self, history: History, where: str | None, window: Window, threshold: Threshold
    ) -> Iterator[ClusteredRows]:
        """The rows of each group: how many exceed the threshold, by cluster.

        Raises HistoryError for what is not a table, a column, a condition or a number.
        """
        raise NotImplementedError

    def judge_rows(self, rows: ClusteredRows, threshold: Threshold) -> SliResult:
        """The SLI of the rows of one group."""
        raise NotImplementedError

    def series(self, history: History, where: str | None, slice_s: float, end_s: float) -> Series:
        """The SLI over time, all groups together, from 0 to `end_s` in slices of `slice_s` seconds.

        Values may be infinite. Raises HistoryError as `measure` does.
        """
        raise NotImplementedError

    def describe_series(self, series: Mapping[str, Series]) -> str:
        """What a chart of series (by name) shows, in a sentence or two."""
        raise NotImplementedError

    def check(self) -> Iterator[Diagnostic]:
        """What is wrong whatever the system is, at paths below the SLO."""
        return iter(())

    def check_threshold(self, value: Any) -> Iterator[Diagnostic]:
        """What is wrong with a gate's `threshold_key`, at paths below the gate."""
        return iter(())

    def percentile_of(self, column: str | None = None) -> float | None:
        """Which percentile it is about; None when it is about none, or about another column."""
        return None


def interval_text(value: float, interval: tuple[float, float] | None, threshold: Threshold) -> str:
    """`1.05 s [1.03 s, 1.06 s]`."""

    def written(figure: float) -> str:
        return quantity(figure, threshold.unit, threshold.value)

    return written(value) + ("" if interval is None else f" [{written(interval[0])}, {written(interval[1])}]")


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a share of good rows is at least a target. `with_missing`: the rows when the missing clients are bad;
    None when none is missing. `changes`: whether the missing clients could change the answer."""

    counts: Counts
    with_missing: Counts | None
    holds: bool | None
    needs: int | None
    changes: bool


def decide(counts: Counts, missing: int, target: float) -> Decision:
    """A claim holds when it does so even if each missing client had one bad row more."""
    holds, effective = counts.holds(target), counts.effective
    bounded = counts.with_missing(missing) if missing else None
    if holds and bounded is not None and not bounded.holds(target):
        return Decision(counts, bounded, None, None, changes=True)
    needs = None
    if holds is None:
        more = more_samples(counts.share * effective, effective, target, counts.confidence)
        scale = counts.samples / effective if effective else 1.0
        needs = None if more is None else math.ceil(more * scale)
    return Decision(counts, bounded, holds, needs, changes=False)


def outcome_text(decision: Decision, threshold: str, beyond: str, bounded: str) -> str:
    """How a value relates to its threshold: `, at least 99%`; `beyond` is the opposite of `threshold`.

    `bounded`: the value when the missing clients are bad.
    """
    missing = decision.with_missing.samples - decision.counts.samples if decision.with_missing else 0
    clients = (
        f"{number(missing)} client{'' if missing == 1 else 's'} did not report: {bounded} if they are bad"
    )
    if decision.changes:
        return f", but {clients}; {threshold} is undecided"
    also = f" ({clients})" if missing else ""
    if decision.holds is not None:
        return f", {threshold if decision.holds else beyond}{also}"
    if decision.needs is None:
        help_text = "more such samples do not help"
    else:
        plural = "" if decision.needs == 1 else "s"
        help_text = (
            f"{number(decision.needs)} more such sample{plural} would claim it with a probability of 95%"
        )
    return f"; {threshold} is undecided ({help_text}){also}"


def sample_count(counts: Counts, unknown: int = 0) -> str:
    """`600 samples (412 effective; 100 unknown, counted as bad)`."""
    effective, notes = counts.effective, []
    if effective < counts.samples:
        notes.append(f"{effective:,.1f} effective")
    if unknown:
        notes.append(f"{number(unknown)} unknown, counted as bad")
    samples = f"{number(counts.samples)} sample{'' if counts.samples == 1 else 's'}"
    return samples + (f" ({'; '.join(notes)})" if notes else "")
