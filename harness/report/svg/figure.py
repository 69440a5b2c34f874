"""What is drawn: a `Figure` and its parts. Times are seconds of the run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from harness.system.model import Level

type Point = tuple[float, float]


def minmax(points: Sequence[Point], most: int) -> list[Point]:
    """At most `most` of these points (`most` >= 2), in their order.

    `points` are (t, y) sorted by t. Time is cut into most/2 equal slices; of each, the points with the lowest
    and the highest y stay. So every extreme, and with it every outlier that a person should see, survives.
    """
    if most < 2:
        raise ValueError(f"found most={most}; at least 2 points are needed to keep a minimum and a maximum")
    if len(points) <= most:
        return list(points)
    slices = most // 2
    start, end = points[0][0], points[-1][0]
    width = (end - start) / slices
    lows: dict[int, int] = {}
    highs: dict[int, int] = {}
    for index, (t, y) in enumerate(points):
        # Equal times everywhere would put all into one slice: then the index decides.
        place = (t - start) / width if width > 0 else index * slices / len(points)
        part = min(int(place), slices - 1)
        if part not in lows or y < points[lows[part]][1]:
            lows[part] = index
        if part not in highs or y > points[highs[part]][1]:
            highs[part] = index
    return [points[index] for index in sorted({*lows.values(), *highs.values()})]


MAX_SERIES = 8
"""As many as there are colours."""

WIDTH = 960
LEFT = 62
RIGHT = 200
"""The margins in which ticks and names are written."""


@dataclass(frozen=True, slots=True)
class Band:
    """A fault that is active from `start_s` to `end_s` (equal: an instant)."""

    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Series:
    """`dots`: (t, y) samples. `line`: (t, y) aggregate; a gap wider than `gap_s` breaks it."""

    name: str
    dots: Sequence[Point] = ()
    line: Sequence[Point] = ()
    gap_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment of the run that is no fault, such as the last arrival."""

    label: str
    t_s: float


class Span(NamedTuple):
    """A state that lasts."""

    start_s: float
    end_s: float
    state: str
    level: Level


@dataclass(frozen=True, slots=True)
class Timeline:
    """The states of one thing, as a strip."""

    name: str
    spans: Sequence[Span]


@dataclass(frozen=True, slots=True)
class Figure:
    """One chart. `kind` lines: `series`; bars: the first series' line as bars of `bar_s`; states: `timelines`;
    text: nothing is drawn, `note` says it all.

    `threshold` is drawn as a labelled line. `tick` writes a value of the y axis, which starts at 0 unless `y_range`
    says otherwise. `legend`: states and their levels, explained above the chart.
    """

    title: str
    note: str
    end_s: float
    bands: Sequence[Band] = ()
    kind: Literal["lines", "bars", "states", "text"] = "lines"
    series: Sequence[Series] = ()
    timelines: Sequence[Timeline] = ()
    bar_s: float = 1.0
    tick: Callable[[float], str] = field(default=lambda value: f"{value:g}")
    y_range: tuple[float, float] | None = None
    threshold: tuple[float, str] | None = None
    legend: Sequence[tuple[str, Level]] = ()
    marks: Sequence[Mark] = ()

    def x(self, t_s: float) -> float:
        """Where a moment is, in the picture's units."""
        share = min(max(t_s / self.end_s, 0.0), 1.0) if self.end_s > 0 else 0.0
        return LEFT + share * (WIDTH - LEFT - RIGHT)


def nice_step(span: float, max_parts: int) -> float:
    """The smallest of 1, 2, 5 times a power of ten that cuts `span` into at most `max_parts` parts."""
    if span <= 0:
        return 1.0
    rough = span / max_parts
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= rough * (1 - 1e-9))


def time_step_s(end_s: float) -> float:
    """A step for a time axis: whole seconds or minutes that people count in."""
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
    return next((step for step in steps if end_s / step <= 12), nice_step(end_s, 12))
