"""Adaptive bitrate rules: which rendition next, after what pause, and when to give a download up.

THROUGHPUT: what fits into 0.9 of the estimated throughput, held down further while the buffer is short.
BOLA (Spiteri, Urgaonkar, Sitaraman: BOLA: Near-Optimal Bitrate Adaptation for Online Videos, 2016):
maximise (V p (utility + gamma p) - buffer) / bitrate, going up only as far as the throughput bears.
Constants and corner cases as in facts/streaming.md sections 5.3 and 6 (they are those of dash.js and of the
SABRE simulator, with which the offline player agrees). Pure: times in ms, rates in kbit/s = bits/ms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from .estimator import Estimator

SAFETY = 0.9
"""Of the estimated throughput is counted on."""

SHORT_BUFFER_FIRST, SHORT_BUFFER_LEAST = 0.9, 0.5
"""Insufficient-buffer rule: how much of what the buffer would pay for is asked, falling to the second."""

AFFORDABLE = 0.7
"""Share of what arrives before the buffer is empty that one segment may take (dash.js)."""

ABANDON_GRACE_MS = 500.0
ABANDON_FACTOR = 1.8
"""A download that would take longer than this many segment durations is given up."""

GAMMA_P = 5.0
"""BOLA: what a segment duration without stalling is worth, in units of utility."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """What there is to choose from; bitrates rise."""

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
    """One per session: rules remember."""

    def choose(self, segment: int, segments: int, buffer_ms: float) -> int:
        """The rendition of that segment (counted from 0, of so many)."""
        ...

    def give_up(self, progress: Progress, buffer_ms: float) -> int | None:
        """The rendition for which the download should be given up, or None to go on."""
        ...


class Throughput:
    """See the module."""

    def __init__(self, ladder: Ladder, estimator: Estimator) -> None:
        self._ladder = ladder
        self._estimator = estimator
        self._trust = SHORT_BUFFER_FIRST

    def choose(self, segment: int, segments: int, buffer_ms: float) -> int:
        ladder, estimator = self._ladder, self._estimator
        quality = ladder.sustained(estimator.throughput_kbps * SAFETY, estimator.latency_ms)
        affordable_bits = self._trust * (buffer_ms - estimator.latency_ms) * estimator.throughput_kbps
        self._trust = max(self._trust * SHORT_BUFFER_FIRST, SHORT_BUFFER_LEAST)
        for lower in range(quality):
            if ladder.bitrates_kbps[lower + 1] * ladder.segment_ms > affordable_bits:
                return lower
        return quality

    def give_up(self, progress: Progress, buffer_ms: float) -> int | None:
        ladder = self._ladder
        body_ms = progress.time_ms - progress.waited_ms
        if progress.time_ms < ABANDON_GRACE_MS or body_ms <= 0 or progress.done_bits <= 0:
            return None
        throughput = progress.done_bits / body_ms
        left_bits = progress.size_bits - progress.done_bits
        if progress.time_ms + left_bits / throughput <= ABANDON_FACTOR * ladder.segment_ms:
            return None
        quality = ladder.sustained(throughput * SAFETY, self._estimator.latency_ms)
        instead_bits = (
            progress.size_bits * ladder.bitrates_kbps[quality] / ladder.bitrates_kbps[progress.quality]
        )
        return None if quality >= progress.quality or instead_bits >= left_bits else quality


class Bola:
    """See the module. At both ends of a title it behaves as if the buffer were smaller."""

    def __init__(self, ladder: Ladder, estimator: Estimator, buffer_size_ms: float) -> None:
        self._ladder = ladder
        self._estimator = estimator
        self._buffer_size_ms = buffer_size_ms
        offset = -math.log(ladder.bitrates_kbps[0])
        self._utilities = [math.log(bitrate) + offset for bitrate in ladder.bitrates_kbps]
        self._v_ms = self._v(buffer_size_ms)
        self._last = 0

    def _v(self, buffer_size_ms: float) -> float:
        return (buffer_size_ms - self._ladder.segment_ms) / (self._utilities[-1] + GAMMA_P)

    def choose(self, segment: int, segments: int, buffer_ms: float) -> int:
        ladder = self._ladder
        near_an_end = max(min(segment, segments - segment) / 2, 3) * ladder.segment_ms
        self._v_ms = self._v(min(self._buffer_size_ms, near_an_end))
        quality = self.from_buffer(buffer_ms)
        if quality > self._last:
            estimator = self._estimator
            borne = ladder.sustained(estimator.throughput_kbps, estimator.latency_ms)
            if quality > borne:
                quality = self._last if self._last > borne else borne + 1
        self._last = quality
        return quality

    def from_buffer(self, buffer_ms: float) -> int:
        """The rendition of the best score at this buffer level; of equals the lowest."""
        best, best_score = 0, -math.inf
        for quality, bitrate in enumerate(self._ladder.bitrates_kbps):
            score = (self._v_ms * (self._utilities[quality] + GAMMA_P) - buffer_ms) / bitrate
            if score > best_score:
                best, best_score = quality, score
        return best

    def give_up(self, progress: Progress, buffer_ms: float) -> int | None:
        left_bits = progress.size_bits - progress.done_bits
        if progress.done_bits <= 0 or left_bits <= 0:
            return None
        bitrates = self._ladder.bitrates_kbps
        best_score = (self._v_ms * (GAMMA_P + self._utilities[progress.quality]) - buffer_ms) / left_bits
        instead = None
        for quality in range(progress.quality):
            size_bits = progress.size_bits * bitrates[quality] / bitrates[progress.quality]
            score = (self._v_ms * (GAMMA_P + self._utilities[quality]) - buffer_ms) / size_bits
            # With less left than the other would take, going on is quicker.
            if size_bits < left_bits and score > best_score:
                instead, best_score = quality, score
        if instead is not None:
            self._last = instead
        return instead


class Careful:
    """Another rule, held down while the buffer could not pay for what it wants (dash.js: InsufficientBuffer).

    BOLA alone knows only the buffer and one step above the throughput; with one segment in hand and segments
    of unequal size that is a stall. The offline player does without, as the published simulator does.
    """

    def __init__(self, rule: Rule, ladder: Ladder, estimator: Estimator) -> None:
        self._rule = rule
        self._ladder = ladder
        self._estimator = estimator

    def choose(self, segment: int, segments: int, buffer_ms: float) -> int:
        quality = self._rule.choose(segment, segments, buffer_ms)
        ladder, estimator = self._ladder, self._estimator
        affordable_bits = AFFORDABLE * (buffer_ms - estimator.latency_ms) * estimator.throughput_kbps
        while quality > 0 and ladder.bitrates_kbps[quality] * ladder.segment_ms > affordable_bits:
            quality -= 1
        return quality

    def give_up(self, progress: Progress, buffer_ms: float) -> int | None:
        return self._rule.give_up(progress, buffer_ms)


class Fixed:
    """No adaptation: always the same rendition (what is left without the safeguard `player.abr`)."""

    def __init__(self, quality: int) -> None:
        self._quality = quality

    def choose(self, segment: int, segments: int, buffer_ms: float) -> int:
        return self._quality

    def give_up(self, progress: Progress, buffer_ms: float) -> int | None:
        return None


def make_rule(name: str, ladder: Ladder, estimator: Estimator, buffer_size_ms: float) -> Rule:
    """`throughput` or `bola`; ValueError for another."""
    if name == "throughput":
        return Throughput(ladder, estimator)
    if name == "bola":
        return Bola(ladder, estimator, buffer_size_ms)
    raise ValueError(f"no ABR rule '{name}'; there are throughput, bola")
