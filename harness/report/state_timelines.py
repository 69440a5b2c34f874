"""From changes of states to strips of states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.report.svg import Span, Timeline
from harness.system import StateChart

MAX_TIMELINES = 12


def make_timelines(
    chart: StateChart, changes: Mapping[str, Sequence[tuple[float, str]]], end_s: float
) -> tuple[tuple[Timeline, ...], int]:
    """The things that changed most often, by name, and how many others there are."""
    chosen = sorted(changes, key=lambda thing: (-len(changes[thing]), thing))[:MAX_TIMELINES]
    timelines = (Timeline(thing, _spans(chart, changes[thing], end_s)) for thing in sorted(chosen))
    return tuple(timelines), len(changes) - len(chosen)


def _spans(chart: StateChart, changes: Sequence[tuple[float, str]], end_s: float) -> list[Span]:
    spans = []
    t, state = 0.0, chart.initial
    for at, new in [*changes, (end_s, "")]:
        if new == state:
            continue
        if at > t:
            spans.append(Span(t, at, state, chart.levels.get(state, "bad")))
        t, state = at, new
    return spans
