"""Lines, dots and bars over a y axis, with their names at the right."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence

from markupsafe import Markup, escape

from harness.report.svg.figure import LEFT, MAX_SERIES, RIGHT, WIDTH, Figure, Point, Series, minmax, nice_step
from harness.text import shorten

MAX_POINTS = 1200
MAX_NAME = 25
"""Characters that fit into the right margin in any of the fonts."""


def draw_plot(figure: Figure, top: int, height: int) -> list[str]:
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
    if figure.threshold is not None:
        value, label = figure.threshold
        y = y_of(value)
        parts.append(
            f'<path class="threshold" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
            f'<text class="threshold-label" x="{LEFT + 4}" y="{y - 4:.1f}">{escape(label)}</text>'
        )
    return parts


def _highest(figure: Figure) -> float:
    highest = max((y for s in figure.series for _, y in (*s.dots, *s.line)), default=0.0)
    if figure.threshold is not None:
        highest = max(highest, figure.threshold[0] * 1.15)
    return highest or 1.0


def _bars(figure: Figure, y_of: Callable[[float], float], bottom: int) -> list[str]:
    parts = []
    for index, series in enumerate(figure.series[:1]):
        d = []
        for t, value in series.line:
            if value <= 0:
                continue
            x0 = figure.x(t)
            x1 = max(x0 + 1.0, figure.x(t + figure.bar_s) - 1.0)
            d.append(f"M{x0:.1f} {bottom}V{y_of(value):.1f}H{x1:.1f}V{bottom}Z")
        parts.append(f'<path class="bar c{index}" d="{"".join(d)}"/>')
    return parts


def _lines(figure: Figure, y_of: Callable[[float], float], top: int, bottom: int) -> list[str]:
    dots: list[str] = []
    lines: list[str] = []
    ends: list[tuple[float, int, str]] = []
    for index, series in enumerate(figure.series):
        colour = index % MAX_SERIES
        points = minmax(series.dots, MAX_POINTS)
        if points:
            d = "".join(f"M{figure.x(t):.1f} {y_of(y):.1f}h0" for t, y in points)
            dots.append(f'<path class="dots c{colour}" d="{d}"/>')
        line = minmax(series.line, MAX_POINTS)
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
        d.append(f"{'M' if t - last > series.gap_s else 'L'}{figure.x(t):.1f} {y_of(y):.1f}")
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
        colour = index % MAX_SERIES
        x = WIDTH - RIGHT + 8
        parts.append(f'<path class="line c{colour} d{colour}" d="M{x} {y:.1f}h18"/>')
        parts += [
            f'<text class="name" x="{x + 24}" y="{y + 4 + 13 * row:.1f}">{escape(line)}</text>'
            for row, line in enumerate(lines)
        ]
    return parts


def _two_lines(name: str) -> list[str]:
    """The name in at most two lines that fit into `RIGHT`; what is longer is cut."""
    lines = textwrap.wrap(name, MAX_NAME - 3) or [""]
    if len(lines) > 2:
        lines = [lines[0], f"{lines[1][: MAX_NAME - 4]}…"]
    return lines


def draw_interval(low: float, high: float, value: float, threshold: float | None, *, above: bool) -> Markup:
    """An `<svg>` element; the side where the threshold holds is shaded.

    `above`: the value must be at least the threshold (else at most). All in one unit.
    """
    numbers = [low, high, value, *([] if threshold is None else [threshold])]
    lowest, highest = min(numbers), max(numbers)
    pad = (highest - lowest) * 0.15 or abs(highest) * 0.1 or 1.0
    width, mid = 180, 12

    def x(v: float) -> float:
        return 4 + (v - lowest + pad) / (highest - lowest + 2 * pad) * (width - 8)

    parts = [f'<svg viewBox="0 0 {width} 24" class="interval" aria-hidden="true">']
    if threshold is not None:
        left, right = (x(threshold), width) if above else (0, x(threshold))
        parts.append(
            f'<rect class="good" x="{left:.1f}" y="2" width="{right - left:.1f}" height="20"/>'
            f'<path class="threshold" d="M{x(threshold):.1f} 0V24"/>'
        )
    parts.append(
        f'<path class="span" d="M{x(low):.1f} {mid}H{max(x(high), x(low) + 1):.1f}'
        f'M{x(low):.1f} {mid - 4}v8M{x(high):.1f} {mid - 4}v8"/>'
        f'<circle class="value" cx="{x(value):.1f}" cy="{mid}" r="3.5"/></svg>'
    )
    return Markup("".join(parts))


ROW_HEIGHT = 26
MAX_TIMELINE_NAME = 28
"""Characters that fit into the right margin in any of the fonts."""


def draw_timelines(figure: Figure, top: int) -> list[str]:
    parts = []
    for index, timeline in enumerate(figure.timelines):
        y = top + ROW_HEIGHT * index + 4
        # A short trial between two long states must be seen: it is drawn last.
        for start, end, state, level in sorted(timeline.spans, key=lambda span: span.level == "warn"):
            x0, x1 = figure.x(start), figure.x(end)
            title = f"{timeline.name}: {state}, {start:.1f} to {end:.1f} s"
            parts.append(
                f'<rect class="state-span {level}" x="{x0:.1f}" y="{y}" height="18"'
                f' width="{max(3.0, x1 - x0):.1f}"><title>{escape(title)}</title></rect>'
            )
            if x1 - x0 > 7 * len(state) + 6:
                parts.append(f'<text class="state" x="{x0 + 4:.1f}" y="{y + 13}">{escape(state)}</text>')
        name = shorten(timeline.name, MAX_TIMELINE_NAME)
        parts.append(f'<text class="name small" x="{WIDTH - RIGHT + 8}" y="{y + 13}">{escape(name)}</text>')
    return parts
