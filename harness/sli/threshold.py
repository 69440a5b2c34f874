"""Thresholds as people write them in an SLO or a gate: a number and its unit."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from harness.diagnostics import Code
from harness.errors import InvalidValue
from harness.experiment.error_translation import describe_bare_number
from harness.experiment.units import parse_bitrate, parse_bytes, parse_duration, parse_ratio
from harness.text import quote

_UNITS: tuple[tuple[str, Callable[[str], float]], ...] = (
    ("s", parse_duration),
    ("bps", parse_bitrate),
    ("bytes", parse_bytes),
    ("share", parse_ratio),
)


@dataclass(frozen=True, slots=True)
class Threshold:
    """`value` in `unit`: s, bps, bytes, share (of 1), or ratio (a share of good rows)."""

    value: float
    unit: str


def parse_threshold(text: str) -> Threshold:
    """A threshold in base units. Raises InvalidValue."""
    for unit, parse in _UNITS:
        try:
            return Threshold(float(parse(text)), unit)
        except ValueError:
            continue
    if re.fullmatch(r" *[0-9]+(\.[0-9]+)? *", text):
        problem = describe_bare_number(text.strip())
        raise InvalidValue(problem.code, problem.found, problem.allowed, problem.hint)
    raise InvalidValue(
        Code.BAD_VALUE,
        f"found {quote(text)}",
        "expected a duration, bit rate, size or share, such as 2s, 5Mbps, 64KB or 5%",
    )
