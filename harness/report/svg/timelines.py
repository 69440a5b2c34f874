"""Strips of states, one for each thing."""

from __future__ import annotations

from markupsafe import escape

from harness.report.svg.figure import RIGHT, WIDTH, Figure

ROW_HEIGHT = 26
MAX_NAME = 28
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
        name = timeline.name if len(timeline.name) <= MAX_NAME else f"{timeline.name[: MAX_NAME - 1]}…"
        parts.append(f'<text class="name small" x="{WIDTH - RIGHT + 8}" y="{y + 13}">{escape(name)}</text>')
    return parts
