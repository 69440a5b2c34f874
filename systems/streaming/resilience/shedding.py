"""Which requests to refuse when there are too many: the least important first.

Every request has a priority score, 1 (vital) to 100 (nobody waits for it). Over the target utilisation the
threshold falls with the cube of the overload, `100 * (1 - x^3)`: slow at first, then steep. A request
whose score is above the threshold is refused. The curve is that of Netflix's
concurrency-limits: 35 % over gives a threshold in the mid-90s, 80 % about 50, 95 % about 10.
"""

from __future__ import annotations

import math
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
    """Admission by utilisation: shedding begins at `target` of it.

    Utilisation is the greater of two shares: requests in flight of `limit`, and the processor time that those in
    flight are expected to take of `work_limit_s`. By Little's law a limit is a rate times a time: `limit` is what
    one second answers times how long an answer may take, and `work_limit_s` is the cores times how long work may
    queue.
    """

    def __init__(self, limit: int, target: float = 0.6, *, work_limit_s: float = math.inf) -> None:
        if limit < 1 or not 0 < target < 1 or not work_limit_s > 0:
            raise ValueError(
                f"limit is {limit} (>= 1 is allowed), target is {target} (0..1 is allowed), "
                f"work_limit_s is {work_limit_s} (> 0 is allowed)"
            )
        self.limit = limit
        self.target = target
        self.work_limit_s = work_limit_s
        self._active = 0
        self._work_s = 0.0

    @property
    def active(self) -> int:
        return self._active

    @property
    def overload(self) -> float:
        """0 up to the target utilisation, 1 at the limit."""
        return self._overload_with(0.0)

    def _overload_with(self, work_s: float) -> float:
        utilisation = max(self._active / self.limit, (self._work_s + work_s) / self.work_limit_s)
        return max(0.0, (utilisation - self.target) / (1.0 - self.target))

    def try_enter(self, priority: int, work_s: float = 0.0) -> bool:
        """Whether a request of this score is admitted; if so it must `leave` later, with the same `work_s`.

        Its own work counts: an expensive request must not take the room that is kept for more important ones.
        """
        if priority > threshold(self._overload_with(work_s)):
            return False
        self._active += 1
        self._work_s += work_s
        return True

    def leave(self, work_s: float = 0.0) -> None:
        self._active -= 1
        self._work_s = self._work_s - work_s if self._active else 0.0
