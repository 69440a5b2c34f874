"""Limits as people write them in an SLO or a gate: a number and its unit."""

from __future__ import annotations

from collections.abc import Callable

from harness.diagnostics import Code
from harness.errors import InvalidValue
from harness.experiment.units import parse_bitrate, parse_bytes, parse_duration, parse_ratio
from harness.text import quote

_UNITS: tuple[tuple[str, Callable[[str], float]], ...] = (
    ("s", parse_duration),
    ("bps", parse_bitrate),
    ("bytes", parse_bytes),
    ("share", parse_ratio),
)


def parse_limit(text: str) -> tuple[float, str]:
    """A limit in base units, and the unit: s, bps, bytes or share (of 1). Raises InvalidValue for anything else."""
    for unit, parse in _UNITS:
        try:
            return float(parse(text)), unit
        except ValueError:
            continue
    raise InvalidValue(
        Code.BAD_VALUE,
        f"found {quote(text)}",
        "expected a duration, bit rate, size or share, such as 2s, 5Mbps, 64KB or 5%",
    )
