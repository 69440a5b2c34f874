"""Fewer points without hiding what matters: in each slice of time the lowest and the highest are kept."""

from __future__ import annotations

from collections.abc import Sequence

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
