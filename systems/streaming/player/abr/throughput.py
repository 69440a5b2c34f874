"""THROUGHPUT: the rendition that fits into the estimated throughput, held down further while the buffer is short.

Constants and corner cases are those of dash.js and of the SABRE simulator, with which the offline player agrees.
"""

from __future__ import annotations

import math

from ..estimator import Estimator
from .registry import abr_rule
from .rule import SAFETY, Ladder, Progress

SHORT_BUFFER_FIRST, SHORT_BUFFER_LEAST = 0.9, 0.5
"""Insufficient-buffer rule: how much of what the buffer would pay for is asked, falling to the second."""

ABANDON_GRACE_MS = 500.0
ABANDON_FACTOR = 1.8
"""A download that would take longer than this many segment durations is given up."""


@abr_rule("throughput")
class Throughput:
    """The best rendition that fits into `SAFETY` of the throughput, and less while the buffer is short."""

    def __init__(self, ladder: Ladder, estimator: Estimator, buffer_size_ms: float = math.inf) -> None:
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
