from __future__ import annotations

import re

from harness.report.svg import Band, Figure, Mark, Series, render


def test_labels_above_a_chart_never_overlap_and_stay_inside() -> None:
    bands = [Band("partition of " + "x" * 200, t, t + 5) for t in (0, 2, 60, 95)]
    svg = render(Figure("t", "n", 100.0, bands, series=[Series("a", line=[(0, 1)])], marks=[Mark("end", 90)]))
    labels = re.findall(r'<text class="(?:fault|tick)" x="([\d.]+)" y="(12|27|42|57|72)">(.*?)</text>', svg)
    places = [
        (int(y), float(x), float(x) + 6.6 * len(re.sub("<title>.*</title>", "", text)))
        for x, y, text in labels
    ]
    assert len(places) == 5
    for index, (y, start, end) in enumerate(places):
        assert 0 <= start < end <= 960
        assert all(y != other or end <= low or high <= start for other, low, high in places[index + 1 :])
    assert "x" * 200 in svg  # whole, for who points at it
