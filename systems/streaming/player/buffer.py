"""What waits to be played, and what playing it came to. Times in ms, rates in kbit/s."""

from __future__ import annotations

import math
from collections import deque


class Buffer:
    """Whole segments, of which the first may be partly played. A segment counts when it starts to play.

    `stall_ms`, `stalls`: time without anything to play, and how often that began while playing.
    """

    def __init__(self, segment_ms: float, bitrates_kbps: tuple[float, ...]) -> None:
        self._segment_ms = segment_ms
        self._bitrates = bitrates_kbps
        self._utilities = [math.log(bitrate / bitrates_kbps[0]) for bitrate in bitrates_kbps]
        self._waiting: deque[int] = deque()
        self._consumed_ms = 0.0
        self._last: int | None = None
        self.total_ms = 0.0
        """All time that was drained, stalls included."""
        self.stall_ms = 0.0
        self.stalls = 0
        self.segments_played = 0
        self.sum_kbps = 0.0
        self.sum_utility = 0.0
        self.sum_change_kbps = 0.0
        self.switches = 0

    @property
    def level_ms(self) -> float:
        return self._segment_ms * len(self._waiting) - self._consumed_ms

    @property
    def empty(self) -> bool:
        return not self._waiting

    @property
    def played_ms(self) -> float:
        return self.total_ms - self.stall_ms

    def add(self, quality: int) -> None:
        self._waiting.append(quality)

    def drain(self, time_ms: float) -> None:
        """Play for that long; where there is nothing left to play, stall."""
        self.total_ms += time_ms
        was_playing = bool(self._waiting)
        while time_ms > 0 and self._waiting:
            if self._consumed_ms == 0:
                self._begin(self._waiting[0])
            if self._consumed_ms + time_ms < self._segment_ms:
                self._consumed_ms += time_ms
                return
            time_ms -= self._segment_ms - self._consumed_ms
            self._waiting.popleft()
            self._consumed_ms = 0.0
        if time_ms > 0:
            self.stall_ms += time_ms
            self.stalls += was_playing

    def play_out(self) -> None:
        """Play all that is left."""
        self.drain(self.level_ms)
        self._waiting.clear()
        self._consumed_ms = 0.0

    def _begin(self, quality: int) -> None:
        self.segments_played += 1
        self.sum_kbps += self._bitrates[quality]
        self.sum_utility += self._utilities[quality]
        if self._last is not None and quality != self._last:
            self.switches += 1
            self.sum_change_kbps += abs(self._bitrates[quality] - self._bitrates[self._last])
        self._last = quality
