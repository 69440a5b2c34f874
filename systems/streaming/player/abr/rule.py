"""`Rule`: what an ABR rule is, and what it sees. Pure: times in ms, rates in kbit/s = bits/ms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..estimator import Estimator

SAFETY = 0.9
"""The share of the estimated throughput that is counted on."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """The renditions; bitrates rise."""

    segment_ms: float
    bitrates_kbps: tuple[float, ...]

    def sustained(self, throughput_kbps: float, latency_ms: float) -> int:
        """The best rendition of which a segment arrives within its own duration."""
        quality = 0
        while (
            quality + 1 < len(self.bitrates_kbps)
            and latency_ms + self.segment_ms * self.bitrates_kbps[quality + 1] / throughput_kbps
            <= self.segment_ms
        ):
            quality += 1
        return quality


@dataclass(frozen=True, slots=True)
class Progress:
    """A download under way. `waited_ms`: until its first byte, part of `time_ms`."""

    quality: int
    size_bits: float
    done_bits: float
    time_ms: float
    waited_ms: float


class Rule(Protocol):
    """One for each session: rules have state."""

    def choose(self, segment: int, segments: int, buffer_ms: float) -> int:
        """The rendition of that segment (counted from 0, of so many)."""
        ...

    def give_up(self, progress: Progress, buffer_ms: float) -> int | None:
        """The rendition for which the download should be given up, or None to go on."""
        ...


type RuleFactory = Callable[[Ladder, Estimator, float], Rule]
"""Makes the rule of one session from the ladder, the estimator and the size of the buffer in ms."""
