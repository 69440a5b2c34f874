"""Quantities as people write them: a number and a unit. A bare number is an error that says so.

Parsed values are plain floats or ints in the base unit that the name says:
`Duration` seconds, `Bitrate` bit/s, `ByteCount` bytes, `Ratio` 0..1, `Rate` per second; a `Span` is a
duration longer than 0, a `PositiveRate` more than 0.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

DURATION = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
BITRATE = {"bps": 1.0, "kbps": 1e3, "Mbps": 1e6, "Gbps": 1e9}
BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
RATIO = {"%": 0.01}
RATE = {"/s": 1.0, "/m": 1 / 60, "/h": 1 / 3600}

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([A-Za-zµ/%]+) *")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")

_MEANT = {
    "us": ("usec", "µs", "microseconds"),
    "ms": ("msec", "msecs", "millis", "milliseconds"),
    "s": ("sec", "secs", "second", "seconds"),
    "m": ("min", "mins", "minute", "minutes"),
    "h": ("hr", "hrs", "hour", "hours"),
    "bps": ("bit/s",),
    "kbps": ("kbit/s", "kbit", "kb/s"),
    "Mbps": ("mbit/s", "mbit", "mb/s"),
    "Gbps": ("gbit/s", "gbit", "gb/s"),
    "%": ("percent",),
    "/s": ("/sec", "/second", "rps"),
    "/m": ("/min", "/minute"),
    "/h": ("/hour", "/hr"),
}
"""What people write for a unit elsewhere, in small letters."""


def _parse(value: Any, units: dict[str, Any], what: str, example: str, *, compound: bool = False) -> float:
    """In the base unit. ValueError: 'what was found; what is allowed; what may be meant'."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"found {_said(value)}; expected {what} such as {example}")
    text = str(value).strip()
    if not isinstance(value, str) or re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", text):
        raise ValueError(
            f"{text} needs a unit; allowed: {', '.join(units)}; {_with_unit(text, units, example)}"
        )
    parts = _PART.findall(text)
    if not _WHOLE.fullmatch(text) or (len(parts) > 1 and not compound):
        raise ValueError(f"found '{_short(text)}'; expected {what} such as {example}")
    total = 0.0
    for number, unit in parts:
        if unit not in units:
            hint = _meant(unit, units)
            raise ValueError(
                f"found the unit '{_short(unit)}' in '{_short(text)}'; allowed: {', '.join(units)}; "
                + (f"did you mean {number}{hint}?" if hint else f"for example {example}")
            )
        total += float(number) * units[unit]
    if not math.isfinite(total):
        raise ValueError(f"found '{_short(text)}'; that is too much; expected {what} such as {example}")
    return total


def _with_unit(text: str, units: dict[str, Any], example: str) -> str:
    """A guess at what a bare number means, for kinds with one unit that is used most."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return f"for example {example}"
    if units is RATIO:
        return f"did you mean {float(text) * 100:.10g}%?" if float(text) < 1 else f"did you mean {text}%?"
    if units is DURATION and float(text) >= 100:
        return f"did you mean {text}ms or {text}s?"  # a delay, or a length of time
    if units is DURATION or units is RATE:
        return f"did you mean {text}{'s' if units is DURATION else '/s'}?"
    return f"for example {example}"


def _meant(unit: str, units: dict[str, Any]) -> str | None:
    low = unit.lower()
    return next((known for known in units if low == known.lower() or low in _MEANT.get(known, ())), None)


def _said(value: Any) -> str:
    """As in `harness.experiment.source.said`, for the few kinds that are no text and no number."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "a mapping" if isinstance(value, dict) else "a list"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 40 else text[:37] + "..."


def parse_duration(value: Any) -> float:
    return _parse(value, DURATION, "a duration", "200ms or 1m30s", compound=True)


def parse_bitrate(value: Any) -> float:
    return _parse(value, BITRATE, "a bit rate", "5Mbps")


def parse_bytes(value: Any) -> int:
    return round(_parse(value, BYTES, "a size", "64KB"))


def parse_ratio(value: Any) -> float:
    return _parse(value, RATIO, "a ratio", "0.1%")


def parse_rate(value: Any) -> float:
    return _parse(value, RATE, "a rate", "4/s")


def _longer(value: float) -> float:
    if value <= 0:
        raise ValueError("found no time at all; it must be longer than 0s")
    return value


def _more(value: float) -> float:
    if value <= 0:
        raise ValueError("found 0; it must be more than 0/s")
    return value


_NUMBER = r"[0-9]+(\.[0-9]+)? *"


def _schema(pattern: str, what: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema(
        {"type": "string", "pattern": pattern, "description": what, "examples": list(examples)}
    )


_DURATION = _schema(rf"^({_NUMBER}(us|ms|s|m|h) *)+$", "a duration: us, ms, s, m, h", "200ms", "1m30s")
_RATIO = _schema(rf"^{_NUMBER}%$", "a ratio in %", "0.1%", "99.9%")
_RATE = _schema(rf"^{_NUMBER}/(s|m|h)$", "a rate: /s, /m, /h", "4/s")

type Duration = Annotated[float, BeforeValidator(parse_duration), _DURATION]
type Span = Annotated[float, BeforeValidator(parse_duration), AfterValidator(_longer), _DURATION]
type Bitrate = Annotated[
    float,
    BeforeValidator(parse_bitrate),
    _schema(rf"^{_NUMBER}(bps|kbps|Mbps|Gbps)$", "a bit rate: bps, kbps, Mbps, Gbps", "5Mbps"),
]
type ByteCount = Annotated[
    int,
    BeforeValidator(parse_bytes),
    _schema(rf"^{_NUMBER}(B|KB|MB|GB|KiB|MiB|GiB)$", "a size: B, KB, MB, GB, KiB, MiB, GiB", "64KB"),
]
type Ratio = Annotated[float, BeforeValidator(parse_ratio), _RATIO]
type Rate = Annotated[float, BeforeValidator(parse_rate), _RATE]
type PositiveRate = Annotated[float, BeforeValidator(parse_rate), AfterValidator(_more), _RATE]
