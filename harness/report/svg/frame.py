"""A figure as an `<svg>` element: the frame with bands, marks and the time axis around what is plotted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from harness.report.svg.figure import LEFT, RIGHT, WIDTH, Band, Figure, Mark, time_step_s
from harness.report.svg.plot import ROW_HEIGHT, draw_plot, draw_timelines
from harness.text import shorten

PLOT_HEIGHT = 170
CHAR = 7.2
"""Width of a letter of a fault's label, generously."""

MAX_LABEL = 64


def render(figure: Figure) -> Markup:
    """The figure as an `<svg>` element with a title and a description for those who cannot see it."""
    if figure.kind == "text":
        return Markup("")
    labels = _place_labels(figure)
    top = 8 + 15 * labels.rows
    if figure.kind == "states":
        height = ROW_HEIGHT * max(1, len(figure.timelines))
        body = draw_timelines(figure, top)
    else:
        height = PLOT_HEIGHT
        body = draw_plot(figure, top, height)
    bottom = top + height
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {bottom + 24}" role="img" class="chart">',
        f"<title>{escape(figure.title)}</title><desc>{escape(figure.note)}</desc>",
        *_draw_bands(figure, labels.bands, bottom),
        *_draw_marks(figure, labels.marks, bottom),
        *_time_axis(figure, bottom),
        *body,
        "</svg>",
    ]
    return Markup("".join(parts))


@dataclass(frozen=True, slots=True)
class _Labels:
    """The labels above a chart, each with its row, so that none overlaps another."""

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
        (band, row_for(_label_x(figure, band.start_s, band.label), shorten(band.label, MAX_LABEL)))
        for band in sorted(figure.bands, key=lambda band: (band.start_s, band.end_s, band.label))
    ]
    # A mark at the very end tells nothing.
    shown = [mark for mark in figure.marks if 0 < mark.t_s < 0.97 * figure.end_s]
    marks = [(mark, row_for(_label_x(figure, mark.t_s, mark.label), mark.label)) for mark in shown]
    return _Labels(bands, marks, len(ends))


def _label_x(figure: Figure, t: float, label: str) -> float:
    """Where a label starts: at its moment, pulled left when it would leave the picture."""
    return max(4.0, min(figure.x(t), WIDTH - CHAR * len(shorten(label, MAX_LABEL)) - 8))


def _draw_bands(figure: Figure, placed: Sequence[tuple[Band, int]], bottom: int) -> list[str]:
    parts = []
    for band, row in placed:
        x0 = figure.x(band.start_s)
        x1 = max(figure.x(band.end_s), x0 + 1.5)
        y = 12 + 15 * row
        parts.append(
            f'<rect class="band" x="{x0:.1f}" y="{y + 3}" width="{x1 - x0:.1f}" height="{bottom - y - 3}"/>'
            f'<path class="edge" d="M{x0:.1f} {y + 3}V{bottom}M{x1:.1f} {y + 3}V{bottom}"/>'
            f'<text class="fault" x="{_label_x(figure, band.start_s, band.label):.1f}" y="{y}">'
            f"{'' if shorten(band.label, MAX_LABEL) == band.label else f'<title>{escape(band.label)}</title>'}"
            f"{escape(shorten(band.label, MAX_LABEL))}</text>"
        )
    return parts


def _draw_marks(figure: Figure, placed: Sequence[tuple[Mark, int]], bottom: int) -> list[str]:
    parts = []
    for mark, row in placed:
        x, y = figure.x(mark.t_s), 12 + 15 * row
        parts.append(
            f'<path class="mark" d="M{x:.1f} {y + 3}V{bottom}"/>'
            f'<text class="tick" x="{_label_x(figure, mark.t_s, mark.label):.1f}" y="{y}">{escape(mark.label)}</text>'
        )
    return parts


def _time_axis(figure: Figure, bottom: int) -> list[str]:
    right = WIDTH - RIGHT
    parts = [f'<path class="axis" d="M{LEFT} {bottom}H{right}"/>']
    step = time_step_s(figure.end_s)
    count = int(figure.end_s / step + 1e-9)
    for index in range(count + 1):
        t = index * step
        x = figure.x(t)
        unit = " s" if index in (0, count) else ""
        parts.append(
            f'<path class="axis" d="M{x:.1f} {bottom}v4"/>'
            f'<text class="tick" x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{t:g}{unit}</text>'
        )
    return parts
