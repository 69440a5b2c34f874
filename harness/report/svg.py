"""Charts as hand-written SVG: time along the bottom, fault bands behind, names at the lines' ends.

Pure: figures in, markup out. Colours are CSS classes (`c0`..`c7`, see `templates/style.css`), so that one
page serves light, dark and print; every line also has its name beside it and a dash pattern of its own.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from markupsafe import Markup, escape

from harness.report.downsample import Point, minmax

WIDTH = 960
LEFT = 62
RIGHT = 200
COLOURS = 8
POINTS_MOST = 1200
CHAR = 7.2
"""Width of a letter of a fault's label, generously."""
LABEL_MOST = 64
NAME_MOST, LANE_NAME_MOST = 25, 28
"""Characters that fit into `RIGHT` in any of the fonts; those of lanes are smaller."""


@dataclass(frozen=True, slots=True)
class Band:
    """A fault in force from `start_s` to `end_s` (equal: an instant)."""

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


@dataclass(frozen=True, slots=True)
class Lane:
    """A named strip; `spans` are (start_s, end_s, state, level) with level calm, warn or bad."""

    name: str
    spans: Sequence[tuple[float, float, str, str]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One chart. `kind` lines: `series`; bars: the first series' line as bars of `bar_s`; lanes: `lanes`;
    words: nothing is drawn, for `note` says it all.

    `limit` is drawn as a labelled line; `tick` writes a value of the y axis, which starts at 0 unless
    `y_range` says otherwise. `legend`: states and their levels, explained above the chart.
    """

    title: str
    note: str
    end_s: float
    bands: Sequence[Band] = ()
    kind: Literal["lines", "bars", "lanes", "words"] = "lines"
    series: Sequence[Series] = ()
    lanes: Sequence[Lane] = ()
    bar_s: float = 1.0
    tick: Callable[[float], str] = field(default=lambda value: f"{value:g}")
    y_range: tuple[float, float] | None = None
    limit: tuple[float, str] | None = None
    legend: Sequence[tuple[str, str]] = ()
    marks: Sequence[Mark] = ()


def nice_step(span: float, most: int) -> float:
    """The smallest of 1, 2, 5 times a power of ten that cuts `span` into at most `most` parts."""
    if span <= 0:
        return 1.0
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= rough * (1 - 1e-9))


def time_step_s(end_s: float) -> float:
    """A step for a time axis: whole seconds or minutes that people count in."""
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
    return next((step for step in steps if end_s / step <= 12), nice_step(end_s, 12))


def render(figure: Figure) -> Markup:
    """The figure as an `<svg>` element with a title and a description for those who cannot see it."""
    if figure.kind == "words":
        return Markup("")
    labels = _place_labels(figure)
    top = 8 + 15 * labels.rows
    if figure.kind == "lanes":
        height = 26 * max(1, len(figure.lanes))
        body = _lanes(figure, top)
    else:
        height = 170
        body = _plot(figure, top, height)
    bottom = top + height
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {bottom + 24}" role="img" class="chart">',
        f"<title>{escape(figure.title)}</title><desc>{escape(figure.note)}</desc>",
        *_draw_bands(figure, labels.bands, bottom),
        *_draw_marks(figure, labels.marks, bottom),
        *_time_axis(figure, top, bottom),
        *body,
        "</svg>",
    ]
    return Markup("".join(parts))


def _x(figure: Figure, t: float) -> float:
    share = min(max(t / figure.end_s, 0.0), 1.0) if figure.end_s > 0 else 0.0
    return LEFT + share * (WIDTH - LEFT - RIGHT)


@dataclass(frozen=True, slots=True)
class _Labels:
    """Where the labels above a chart stand: each with its row, so that none overlaps another."""

    bands: Sequence[tuple[Band, int]]
    marks: Sequence[tuple[Mark, int]]
    rows: int


def _place_labels(figure: Figure) -> _Labels:
    ends: list[float] = []

    def row_for(start: float, label: str) -> int:
        row = next((i for i, end in enumerate(ends) if end <= start), len(ends))
        if row == len(ends):
            ends.append(0.0)
        ends[row] = start + CHAR * len(label) + 12
        return row

    bands = [
        (band, row_for(_label_x(figure, band.start_s, band.label), _cut(band.label)))
        for band in sorted(figure.bands, key=lambda band: (band.start_s, band.end_s, band.label))
    ]
    # One at the very end would say nothing.
    shown = [mark for mark in figure.marks if 0 < mark.t_s < 0.97 * figure.end_s]
    marks = [(mark, row_for(_label_x(figure, mark.t_s, mark.label), mark.label)) for mark in shown]
    return _Labels(bands, marks, len(ends))


def _label_x(figure: Figure, t: float, label: str) -> float:
    """Where a label starts: at its moment, pulled left when it would leave the picture."""
    return max(4.0, min(_x(figure, t), WIDTH - CHAR * len(_cut(label)) - 8))


def _cut(label: str) -> str:
    return label if len(label) <= LABEL_MOST else f"{label[: LABEL_MOST - 1]}…"


def _draw_bands(figure: Figure, placed: Sequence[tuple[Band, int]], bottom: int) -> list[str]:
    parts = []
    for band, row in placed:
        x0 = _x(figure, band.start_s)
        x1 = max(_x(figure, band.end_s), x0 + 1.5)
        y = 12 + 15 * row
        parts.append(
            f'<rect class="band" x="{x0:.1f}" y="{y + 3}" width="{x1 - x0:.1f}" height="{bottom - y - 3}"/>'
            f'<path class="edge" d="M{x0:.1f} {y + 3}V{bottom}M{x1:.1f} {y + 3}V{bottom}"/>'
            f'<text class="fault" x="{_label_x(figure, band.start_s, band.label):.1f}" y="{y}">'
            f"{'' if _cut(band.label) == band.label else f'<title>{escape(band.label)}</title>'}"
            f"{escape(_cut(band.label))}</text>"
        )
    return parts


def _draw_marks(figure: Figure, placed: Sequence[tuple[Mark, int]], bottom: int) -> list[str]:
    parts = []
    for mark, row in placed:
        x, y = _x(figure, mark.t_s), 12 + 15 * row
        parts.append(
            f'<path class="mark" d="M{x:.1f} {y + 3}V{bottom}"/>'
            f'<text class="tick" x="{_label_x(figure, mark.t_s, mark.label):.1f}" y="{y}">{escape(mark.label)}</text>'
        )
    return parts


def _time_axis(figure: Figure, top: int, bottom: int) -> list[str]:
    right = WIDTH - RIGHT
    parts = [f'<path class="axis" d="M{LEFT} {bottom}H{right}"/>']
    step = time_step_s(figure.end_s)
    count = int(figure.end_s / step + 1e-9)
    for index in range(count + 1):
        t = index * step
        x = _x(figure, t)
        unit = " s" if index in (0, count) else ""
        parts.append(
            f'<path class="axis" d="M{x:.1f} {bottom}v4"/>'
            f'<text class="tick" x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{t:g}{unit}</text>'
        )
    return parts


def _plot(figure: Figure, top: int, height: int) -> list[str]:
    floor, ceiling = figure.y_range or (0.0, _highest(figure))
    step = nice_step(ceiling - floor, 4)
    ceiling = floor + max(step, math.ceil((ceiling - floor) / step - 1e-9) * step)
    bottom = top + height

    def y_of(value: float) -> float:
        return bottom - min(max((value - floor) / (ceiling - floor), 0.0), 1.0) * (height - 6)

    parts = []
    for index in range(round((ceiling - floor) / step) + 1):
        value = floor + index * step
        y = y_of(value)
        if index:
            parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">'
            f"{escape(figure.tick(value))}</text>"
        )
    if figure.kind == "bars":
        parts += _bars(figure, y_of, bottom)
    else:
        parts += _lines(figure, y_of, top, bottom)
    if figure.limit is not None:
        value, label = figure.limit
        y = y_of(value)
        parts.append(
            f'<path class="limit" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
            f'<text class="limit-label" x="{LEFT + 4}" y="{y - 4:.1f}">{escape(label)}</text>'
        )
    return parts


def _highest(figure: Figure) -> float:
    highest = max((y for s in figure.series for _, y in (*s.dots, *s.line)), default=0.0)
    if figure.limit is not None:
        highest = max(highest, figure.limit[0] * 1.15)
    return highest or 1.0


def _bars(figure: Figure, y_of: Callable[[float], float], bottom: int) -> list[str]:
    parts = []
    for index, series in enumerate(figure.series[:1]):
        d = []
        for t, value in series.line:
            if value <= 0:
                continue
            x0 = _x(figure, t)
            x1 = max(x0 + 1.0, _x(figure, t + figure.bar_s) - 1.0)
            d.append(f"M{x0:.1f} {bottom}V{y_of(value):.1f}H{x1:.1f}V{bottom}Z")
        parts.append(f'<path class="bar c{index}" d="{"".join(d)}"/>')
    return parts


def _lines(figure: Figure, y_of: Callable[[float], float], top: int, bottom: int) -> list[str]:
    dots: list[str] = []
    lines: list[str] = []
    ends: list[tuple[float, int, str]] = []
    for index, series in enumerate(figure.series):
        colour = index % COLOURS
        points = minmax(series.dots, POINTS_MOST)
        if points:
            d = "".join(f"M{_x(figure, t):.1f} {y_of(y):.1f}h0" for t, y in points)
            dots.append(f'<path class="dots c{colour}" d="{d}"/>')
        line = minmax(series.line, POINTS_MOST)
        if line:
            lines.append(f'<path class="line c{colour} d{colour}" d="{_line(figure, line, series, y_of)}"/>')
            ends.append((y_of(line[-1][1]), index, series.name))
        elif points:
            ends.append((y_of(points[-1][1]), index, series.name))
    return [*dots, *lines, *_end_labels(ends, top, bottom)]


def _line(figure: Figure, line: Sequence[Point], series: Series, y_of: Callable[[float], float]) -> str:
    d = []
    last = -math.inf
    for t, y in line:
        d.append(f"{'M' if t - last > series.gap_s else 'L'}{_x(figure, t):.1f} {y_of(y):.1f}")
        if len(d) == 1:
            d[0] = "M" + d[0][1:]
        last = t
    # A point without neighbours would be an invisible line: give it a short stroke.
    return "".join(
        part + ("h3" if part[0] == "M" and (i + 1 == len(d) or d[i + 1][0] == "M") else "")
        for i, part in enumerate(d)
    )


def _end_labels(ends: list[tuple[float, int, str]], top: int, bottom: int) -> list[str]:
    """Names at the right, beside where their lines end, pushed apart; each with a stroke in its own look."""
    ends = sorted(ends)
    names = [_two_lines(name) for _, _, name in ends]
    # The room that each name takes below its first line's place, and less where there is too little for all.
    heights = [15.0 + 13.0 * (len(lines) - 1) for lines in names]
    squeeze = min(1.0, (bottom - top) / max(1.0, sum(heights)))
    places: list[float] = []
    for i, (y, _, _) in enumerate(ends):
        places.append(max(y, places[-1] + heights[i - 1] * squeeze) if places else max(y, top + 6.0))
    limit = float(bottom)
    for i in range(len(places) - 1, -1, -1):
        places[i] = min(places[i], limit - (heights[i] - 15.0) * squeeze)
        limit = places[i] - 15.0 * squeeze
    parts = []
    for (_, index, _), lines, y in zip(ends, names, places, strict=True):
        colour = index % COLOURS
        x = WIDTH - RIGHT + 8
        parts.append(f'<path class="line c{colour} d{colour}" d="M{x} {y:.1f}h18"/>')
        parts += [
            f'<text class="name" x="{x + 24}" y="{y + 4 + 13 * row:.1f}">{escape(line)}</text>'
            for row, line in enumerate(lines)
        ]
    return parts


def _two_lines(name: str) -> list[str]:
    """The name in at most two lines that fit into `RIGHT`; what is longer is cut."""
    lines = textwrap.wrap(name, NAME_MOST - 3) or [""]
    if len(lines) > 2:
        lines = [lines[0], f"{lines[1][: NAME_MOST - 4]}…"]
    return lines


def _lanes(figure: Figure, top: int) -> list[str]:
    parts = []
    for index, lane in enumerate(figure.lanes):
        y = top + 26 * index + 4
        # A short trial between two long states must be seen: it is drawn last.
        for start, end, state, level in sorted(lane.spans, key=lambda span: span[3] == "warn"):
            x0, x1 = _x(figure, start), _x(figure, end)
            parts.append(
                f'<rect class="lane {level}" x="{x0:.1f}" y="{y}" height="18"'
                f' width="{max(3.0, x1 - x0):.1f}"><title>{escape(f"{lane.name}: {state}, {start:.1f} to {end:.1f} s")}'
                "</title></rect>"
            )
            if x1 - x0 > 7 * len(state) + 6:
                parts.append(f'<text class="state" x="{x0 + 4:.1f}" y="{y + 13}">{escape(state)}</text>')
        name = lane.name if len(lane.name) <= LANE_NAME_MOST else f"{lane.name[: LANE_NAME_MOST - 1]}…"
        parts.append(f'<text class="name small" x="{WIDTH - RIGHT + 8}" y="{y + 13}">{escape(name)}</text>')
    return parts


def interval(low: float, high: float, value: float, limit: float | None, *, above: bool) -> Markup:
    """A small picture of an interval against its limit; the side where the limit holds is shaded.

    `above`: the value must be at least the limit (else at most). All in one unit.
    """
    numbers = [low, high, value, *([] if limit is None else [limit])]
    least, most = min(numbers), max(numbers)
    pad = (most - least) * 0.15 or abs(most) * 0.1 or 1.0
    width, mid = 180, 12

    def x(v: float) -> float:
        return 4 + (v - least + pad) / (most - least + 2 * pad) * (width - 8)

    parts = [f'<svg viewBox="0 0 {width} 24" class="interval" aria-hidden="true">']
    if limit is not None:
        left, right = (x(limit), width) if above else (0, x(limit))
        parts.append(
            f'<rect class="good" x="{left:.1f}" y="2" width="{right - left:.1f}" height="20"/>'
            f'<path class="limit" d="M{x(limit):.1f} 0V24"/>'
        )
    parts.append(
        f'<path class="span" d="M{x(low):.1f} {mid}H{max(x(high), x(low) + 1):.1f}'
        f'M{x(low):.1f} {mid - 4}v8M{x(high):.1f} {mid - 4}v8"/>'
        f'<circle class="value" cx="{x(value):.1f}" cy="{mid}" r="3.5"/></svg>'
    )
    return Markup("".join(parts))
