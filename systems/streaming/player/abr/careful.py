"""`Careful`: another rule, held down by what the buffer could pay for, and by what the throughput bears."""

from __future__ import annotations

from ..estimator import Estimator
from .rule import Ladder, Progress, Rule

AFFORDABLE = 0.7
"""Share of what arrives before the buffer is empty that one segment may take (dash.js)."""


class Careful:
    """Another rule, held down while the buffer could not pay for what it wants (dash.js: InsufficientBuffer).

    BOLA alone knows only the buffer and one step above the throughput; with one segment in hand and segments
    of unequal size that is a stall. The offline player does without, as the published simulator does.
    """

    def __init__(self, rule: Rule, ladder: Ladder, estimator: Estimator) -> None:
        self._rule = rule
        self._ladder = ladder
        self._estimator = estimator
        self._last = 0

    def choose(self, segment: int, segments: int, buffer_ms: float) -> int:
        quality = self._rule.choose(segment, segments, buffer_ms)
        ladder, estimator = self._ladder, self._estimator
        affordable_bits = AFFORDABLE * (buffer_ms - estimator.latency_ms) * estimator.throughput_kbps
        while quality > 0 and ladder.bitrates_kbps[quality] * ladder.segment_ms > affordable_bits:
            quality -= 1
        if quality > self._last:
            # Up only as far as the throughput bears: one step above it would be taken back with the next segment.
            borne = ladder.sustained(estimator.throughput_kbps, estimator.latency_ms)
            quality = min(quality, max(borne, self._last))
        self._last = quality
        return quality

    def give_up(self, progress: Progress, buffer_ms: float) -> int | None:
        instead = self._rule.give_up(progress, buffer_ms)
        if instead is not None:
            self._last = instead
        return instead
