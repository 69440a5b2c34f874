"""`Slo`: the base of every kind of SLO. A kind is one file: its model, checks, SLI query and arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.diagnostics import Diagnostic
from harness.experiment.model import SloDefinition
from harness.history.read import History
from harness.sli.formatting import number, quantity
from harness.sli.query import Window
from harness.sli.threshold import Threshold

type Point = tuple[float, float]
"""Second of the run, value in the SLI's unit."""


@dataclass(frozen=True, slots=True)
class SliResult:
    """An SLI on the rows of one group, held against a threshold.

    `group`: None unless the SLO is stated `by` a column. `value`, `interval`: in the threshold's unit; None
    where there is no finite one. `unknown`: how many of the samples are not known and counted as bad.
    `holds`: None when the samples do not decide it. `needs`: how many more
    samples would decide it; None when it is decided, or no number would. `reason`: one sentence.
    """

    group: str | None
    samples: int
    unknown: int = 0
    value: float | None = None
    interval: tuple[float, float] | None = None
    holds: bool | None = None
    needs: int | None = None
    reason: str = "no samples"


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

    def measure(
        self, history: History, where: str | None, window: Window, threshold: Threshold
    ) -> Iterator[SliResult]:
        """One result, or one for each group of the whole history, in order.

        Raises HistoryError for what is not a table, a column, a condition or a number.
        """
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


def outcome_text(holds: bool | None, threshold: str, beyond: str, needs: int | None) -> str:
    """How a value relates to its threshold: `, at least 99%`; `beyond` is the opposite of `threshold`."""
    if holds is not None:
        return f", {threshold if holds else beyond}"
    more = "no number of such samples" if needs is None else f"{number(needs)} more such sample"
    plural = "s" if needs is not None and needs != 1 else ""
    return f"; {threshold} is undecided ({more}{plural} would decide it)"


def sample_count(count: int, unknown: int = 0) -> str:
    """`600 samples (100 unknown, counted as bad)`."""
    samples = f"{number(count)} sample{'' if count == 1 else 's'}"
    return samples + (f" ({number(unknown)} unknown, counted as bad)" if unknown else "")
