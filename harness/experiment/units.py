"""Quantities as people write them: a number and a unit. A bare number is an error that says so.

Parsed values are plain floats or ints in the base unit that the name says:
`Duration` seconds, `Bitrate` bit/s, `ByteCount` bytes, `Ratio` 0..1, `Rate` per second. 0 is not allowed
of `PositiveDuration` and `PositiveRate`.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from harness.diagnostics import Code
from harness.errors import InvalidValue
from harness.text import quote

DURATION = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
BITRATE = {"bps": 1.0, "kbps": 1e3, "Mbps": 1e6, "Gbps": 1e9}
BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
RATIO = {"%": 0.01}
RATE = {"/s": 1.0, "/m": 1 / 60, "/h": 1 / 3600}

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([A-Za-zµ/%]+) *")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")

_ALIASES = {
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
"""Other spellings of a unit, in lower case."""


def _parse(value: Any, units: dict[str, Any], kind: str, example: str, *, compound: bool = False) -> float:
    """The value in its base unit. `compound`: several numbers with units may be added up. Raises InvalidValue."""
    expected = f"expected {kind} such as {example}"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidValue(Code.WRONG_TYPE, f"found {quote(value)}", expected)
    text = str(value).strip()
    allowed = f"allowed: {', '.join(units)}"
    if not isinstance(value, str) or re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", text):
        raise InvalidValue(
            Code.BAD_UNIT, f"{text} needs a unit", allowed, _suggest_quantity(text, units, example)
        )
    parts = _PART.findall(text)
    short = " ".join(text.split())
    if not _WHOLE.fullmatch(text) or (len(parts) > 1 and not compound):
        raise InvalidValue(Code.BAD_VALUE, f"found {quote(short, 40)}", expected)
    total = 0.0
    for number, unit in parts:
        if unit not in units:
            known = _known_unit(unit, units)
            hint = f"did you mean {number}{known}?" if known else f"for example {example}"
            raise InvalidValue(
                Code.BAD_UNIT, f"unknown unit {quote(unit, 40)} in {quote(short, 40)}", allowed, hint
            )
        total += float(number) * units[unit]
    if not math.isfinite(total):
        raise InvalidValue(Code.OUT_OF_RANGE, f"{quote(short, 40)} is too large", expected)
    return total


def _suggest_quantity(text: str, units: dict[str, Any], example: str) -> str:
    """What a bare number probably means, for kinds with one unit that is used most."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return f"for example {example}"
    if units is RATIO:
        return f"did you mean {float(text) * 100:.10g}%?" if float(text) < 1 else f"did you mean {text}%?"
    if units is DURATION and float(text) >= 100:
        return f"did you mean {text}ms or {text}s?"  # a delay, or a length of time
    if units is DURATION or units is RATE:
        return f"did you mean {text}{'s' if units is DURATION else '/s'}?"
    return f"for example {example}"


def _known_unit(unit: str, units: dict[str, Any]) -> str | None:
    low = unit.lower()
    return next((known for known in units if low == known.lower() or low in _ALIASES.get(known, ())), None)


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


def _positive(unit: str) -> AfterValidator:
    """A check that a value in that unit is more than 0."""

    def check(value: float) -> float:
        if value <= 0:
            raise InvalidValue(Code.OUT_OF_RANGE, f"found {value:g}{unit}", f"must be > 0{unit}")
        return value

    return AfterValidator(check)


_NUMBER = r"[0-9]+(\.[0-9]+)? *"


def _schema(pattern: str, what: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema(
        {"type": "string", "pattern": pattern, "description": what, "examples": list(examples)}
    )


_DURATION = _schema(rf"^({_NUMBER}(us|ms|s|m|h) *)+$", "a duration: us, ms, s, m, h", "200ms", "1m30s")
_BITRATE = _schema(rf"^{_NUMBER}(bps|kbps|Mbps|Gbps)$", "a bit rate: bps, kbps, Mbps, Gbps", "5Mbps")
_RATIO = _schema(rf"^{_NUMBER}%$", "a ratio in %", "0.1%", "99.9%")
_RATE = _schema(rf"^{_NUMBER}/(s|m|h)$", "a rate: /s, /m, /h", "4/s")

type Duration = Annotated[float, BeforeValidator(parse_duration), _DURATION]
"""Seconds, written with `us`, `ms`, `s`, `m` or `h`: `200ms`, `1m30s`."""
type PositiveDuration = Annotated[float, BeforeValidator(parse_duration), _positive("s"), _DURATION]
"""A `Duration` of more than 0 s."""
type Bitrate = Annotated[float, BeforeValidator(parse_bitrate), _BITRATE]
"""Bit/s, written with `bps`, `kbps`, `Mbps` or `Gbps`: `5Mbps`."""
type ByteCount = Annotated[
    int,
    BeforeValidator(parse_bytes),
    _schema(rf"^{_NUMBER}(B|KB|MB|GB|KiB|MiB|GiB)$", "a size: B, KB, MB, GB, KiB, MiB, GiB", "64KB"),
]
"""Bytes, written with `B`, `KB`, `MB`, `GB` (powers of 1000) or `KiB`, `MiB`, `GiB` (of 1024): `64KB`."""
type Ratio = Annotated[float, BeforeValidator(parse_ratio), _RATIO]
"""A number such as 0.999, written in percent: `99.9%`."""
type Rate = Annotated[float, BeforeValidator(parse_rate), _RATE]
"""A number for each second, written with `/s`, `/m` or `/h`: `4/s`."""
type PositiveRate = Annotated[float, BeforeValidator(parse_rate), _positive("/s"), _RATE]
"""A `Rate` of more than 0/s."""
