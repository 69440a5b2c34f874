"""The manifest of a title, from the answer of the control plane, validated."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class BadAnswer(ValueError):
    """An answer is not valid. The message names the fields."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """`segments` of `segment_s` seconds each, in renditions of increasing bitrates.

    `urls`: ranked, valid for `ttl_s` seconds.
    """

    segment_s: float
    segments: int
    bitrates_kbps: tuple[float, ...]
    urls: tuple[str, ...]
    ttl_s: float


def read_manifest(body: Mapping[str, Any]) -> Manifest:
    """The answer to `/play`. BadAnswer names every field that is not valid."""
    invalid = []
    for name in ("segment_s", "ttl_s"):
        if not _positive(body.get(name)):
            invalid.append(name)
    segments = body.get("segments")
    if not isinstance(segments, int) or not _positive(segments):
        invalid.append("segments")
    bitrates = body.get("bitrates_kbps")
    if not isinstance(bitrates, list) or not bitrates or not all(_positive(rate) for rate in bitrates):
        invalid.append("bitrates_kbps")
    elif any(later <= earlier for earlier, later in itertools.pairwise(bitrates)):
        invalid.append("bitrates_kbps (must increase)")
    if not _are_urls(body.get("urls")):
        invalid.append("urls")
    if invalid:
        raise BadAnswer(f"not valid: {', '.join(invalid)}")
    return Manifest(
        float(body["segment_s"]),
        int(body["segments"]),
        tuple(float(rate) for rate in body["bitrates_kbps"]),
        tuple(body["urls"]),
        float(body["ttl_s"]),
    )


def read_urls(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The ranked URLs of an answer to `/steer`. Raises BadAnswer."""
    if not _are_urls(body.get("urls")):
        raise BadAnswer("not valid: urls")
    return tuple(body["urls"])


def read_ttl_s(body: Mapping[str, Any], default_s: float) -> float:
    """For how long the list of an answer to `/steer` is good: what it says, or what the manifest said."""
    ttl_s = body.get("ttl_s")
    return float(ttl_s) if isinstance(ttl_s, int | float) and _positive(ttl_s) else default_s


def _positive(value: object) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    )


def _are_urls(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(url, str) and url.startswith("http://") for url in value)
    )
