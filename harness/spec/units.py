"""Quantities as people write them: a number and a unit. A bare number is an error that says so.

Parsed values are plain floats or ints in the base unit that the name says:
`Duration` seconds, `Bitrate` bit/s, `ByteCount` bytes, `Ratio` 0..1, `Rate` per second.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

DURATION = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
BITRATE = {"bps": 1.0, "kbps": 1e3, "Mbps": 1e6, "Gbps": 1e9}
BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
RATIO = {"%": 0.01}
RATE = {"/s": 1.0, "/m": 1 / 60, "/h": 1 / 3600}

_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z/%]+)")


def _parse(value: Any, units: dict[str, Any], what: str, example: str, *, compound: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"found {value!r}; expected {what} such as {example}")
    text = str(value).strip()
    if re.fullmatch(r"[+-]?\d+(\.\d+)?", text):
        raise ValueError(f"{text} needs a unit ({', '.join(units)}), for example {example}")
    parts = _PART.findall(text)
    if (
        not parts
        or "".join(n + u for n, u in parts) != re.sub(r"\s+", "", text)
        or (len(parts) > 1 and not compound)
    ):
        raise ValueError(f"found '{text}'; expected {what} such as {example}")
    total = 0.0
    for number, unit in parts:
        if unit not in units:
            raise ValueError(
                f"found unit '{unit}' in '{text}'; allowed: {', '.join(units)}; for example {example}"
            )
        total += float(number) * units[unit]
    return total


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


def _schema(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": list(examples)})


type Duration = Annotated[
    float, BeforeValidator(parse_duration), _schema(r"^(\d+(\.\d+)?(us|ms|s|m|h))+$", "200ms", "1m30s")
]
type Bitrate = Annotated[
    float, BeforeValidator(parse_bitrate), _schema(r"^\d+(\.\d+)?(bps|kbps|Mbps|Gbps)$", "5Mbps")
]
type ByteCount = Annotated[
    int, BeforeValidator(parse_bytes), _schema(r"^\d+(\.\d+)?(B|KB|MB|GB|KiB|MiB|GiB)$", "64KB")
]
type Ratio = Annotated[float, BeforeValidator(parse_ratio), _schema(r"^\d+(\.\d+)?%$", "0.1%")]
type Rate = Annotated[float, BeforeValidator(parse_rate), _schema(r"^\d+(\.\d+)?/(s|m|h)$", "4/s")]
