"""Which requests to refuse when there are too many: the least important first.

Every request has a priority score, 1 (vital) to 100 (nobody waits for it). Over the target utilisation the
threshold falls with the cube of the overload, `100 * (1 - x^3)`: slow at first, then steep. A request
whose score is above the threshold is refused. The curve is that of Netflix's
concurrency-limits: 35 % over gives a threshold in the mid-90s, 80 % about 50, 95 % about 10.
"""

from __future__ import annotations

from enum import IntEnum


class Priority(IntEnum):
    """Classes of requests by their score."""

    CRITICAL = 10
    """A viewer pressed play, or is playing."""
    DEGRADED = 40
    """Its absence is noticed: home rows, logins."""
    BEST_EFFORT = 70
    """Its absence is an inconvenience: re-steering, previews, prefetch."""
    BULK = 96
    """Nobody waits: telemetry, health checks by third parties."""


def threshold(overload: float) -> float:
    """The highest score still admitted. `overload` 0 (at the target) to 1 (at the limit); clipped."""
    x = min(1.0, max(0.0, overload))
    return 100.0 * (1.0 - x**3)


class Shedder:
    """Admission by utilisation: requests in flight of `limit`, shedding from `target` on."""

    def __init__(self, limit: int, target: float = 0.6) -> None:
        if limit < 1 or not 0 < target < 1:
            raise ValueError(f"limit is {limit} (>= 1 is allowed), target is {target} (0..1 is allowed)")
        self.limit = limit
        self.target = target
        self._active = 0

    @property
    def active(self) -> int:
        return self._active

    @property
    def overload(self) -> float:
        """0 up to the target utilisation, 1 at the limit."""
        return max(0.0, (self._active / self.limit - self.target) / (1.0 - self.target))

    def try_enter(self, priority: int) -> bool:
        """Whether a request of this score is admitted; if so it must `leave` later."""
        if priority > threshold(self.overload):
            return False
        self._active += 1
        return True

    def leave(self) -> None:
        self._active -= 1
