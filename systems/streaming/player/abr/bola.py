"""BOLA: maximise (V p (utility + gamma p) - buffer) / bitrate, going up only as far as the throughput bears.

Spiteri, Urgaonkar, Sitaraman: BOLA: Near-Optimal Bitrate Adaptation for Online Videos, 2016. Corner cases are those of
dash.js and of the SABRE simulator, with which the offline player agrees.
"""

from __future__ import annotations

import math

from ..estimator import Estimator
from .registry import abr_rule
from .rule import Ladder, Progress

GAMMA_P = 5.0
"""BOLA: what a segment duration without stalling is worth, in units of utility."""


@abr_rule("bola")
class Bola:
    """At both ends of a title it behaves as if the buffer were smaller."""

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


@abr_rule("bola-basic")
class BolaBasic(Bola):
    """BOLA with the same buffer size throughout, as the paper's BOLA-BASIC: downloads are never given up."""

    def _v(self, buffer_size_ms: float) -> float:
        return super()._v(self._buffer_size_ms)

    def give_up(self, progress: Progress, buffer_ms: float) -> int | None:
        return None
