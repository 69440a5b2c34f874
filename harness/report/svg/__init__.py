"""Charts as SVG: time along the bottom, bands of faults behind, names at the lines' ends. Figures in, markup out.

Drawn here and not by a plotting library, because one style sheet must serve light, dark and print, and because such
a library (80 MB with its renderer) takes longer for one page than the run itself. Colours are CSS classes
(`c0`..`c7`, see `templates/style.css`); every line also has its name beside it and a dash pattern of its own.
"""

from harness.report.svg.figure import MAX_SERIES, Band, Figure, Mark, Series, Span, Timeline
from harness.report.svg.frame import render
from harness.report.svg.plot import draw_interval

__all__ = ["MAX_SERIES", "Band", "Figure", "Mark", "Series", "Span", "Timeline", "draw_interval", "render"]
