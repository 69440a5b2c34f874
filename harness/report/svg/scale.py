"""Steps of an axis that people count in."""

from __future__ import annotations

import math


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
