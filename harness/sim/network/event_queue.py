"""`EventQueue`: what is going to happen in the network, in the order of time."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Any

type Call = Callable[[float, Any], None]
"""Called with the time and an argument."""


class EventQueue:
    """Events at the same moment happen in the order in which they were added."""

    __slots__ = ("_added", "_events")

    def __init__(self) -> None:
        self._events: list[tuple[float, int, Call, Any]] = []
        self._added = 0

    def at(self, time_s: float, call: Call, argument: Any) -> None:
        """Call with the time and the argument then."""
        self._added += 1
        heapq.heappush(self._events, (time_s, self._added, call, argument))

    def next_s(self) -> float:
        """The time of the next event; infinite when there is none."""
        return self._events[0][0] if self._events else math.inf

    def run_due(self, now_s: float) -> None:
        """Run all events up to now, those included that they add."""
        events = self._events
        while events and events[0][0] <= now_s:
            _, _, call, argument = heapq.heappop(events)
            call(now_s, argument)

    def clear(self) -> None:
        self._events.clear()
