"""How long a toxic may run before other work of the loop gets its turn."""

from __future__ import annotations

from harness.toxiproxy.clock import Clock

_TURN_S = 0.001
_MAX_OPERATIONS = 256  # where the clock does not advance during a turn
_CLOCK_INTERVAL = 4  # operations between looks at the clock


class LoopBudget:
    """Shared by the toxics of a server: the more of them have work left, the less each does in a turn of the loop."""

    def __init__(self, clock: Clock) -> None:
        self._time = clock.time
        self.yielding = 0
        """Toxics that have used up their share and wait for the next turn."""

    def share(self) -> Share:
        return Share(self)

    def share_end_s(self) -> float:
        return self._time() + _TURN_S / (1 + self.yielding)


class Share:
    """One toxic's share of a turn. `begin` it whenever the toxic resumes; `spend` it with every operation."""

    __slots__ = ("_budget", "_end_s", "_operations")

    def __init__(self, budget: LoopBudget) -> None:
        self._budget = budget
        self._operations = 0
        self._end_s = 0.0

    def begin(self) -> None:
        self._operations = 0

    def spend(self) -> bool:
        """Count an operation that did not wait. True when the toxic has to wait for the next turn."""
        self._operations += 1
        if self._operations % _CLOCK_INTERVAL:
            return False
        if self._operations == _CLOCK_INTERVAL:  # most turns end before: they never look at the clock
            self._end_s = self._budget.share_end_s()
            return False
        return self._operations >= _MAX_OPERATIONS or self._budget._time() >= self._end_s
