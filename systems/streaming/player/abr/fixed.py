"""`Fixed`: no adaptation."""

from __future__ import annotations

from .rule import Progress


class Fixed:
    """No adaptation: always the same rendition (what is left without the safeguard `player.abr`)."""

    def __init__(self, quality: int) -> None:
        self._quality = quality

    def choose(self, segment: int, segments: int, buffer_ms: float) -> int:
        return self._quality

    def give_up(self, progress: Progress, buffer_ms: float) -> int | None:
        return None
