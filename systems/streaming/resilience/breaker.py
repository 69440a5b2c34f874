"""An asynchronous circuit breaker whose state machine is pybreaker's.

pybreaker counts consecutive failures, reads the wall clock, admits any number of trials when half open,
and takes a cancelled call for a failed one. None of that suits an asyncio service, and all of it can be
put right from outside, through what pybreaker offers for extension (a storage) and its public methods:

* `WindowStorage` keeps outcomes in a rolling window on the host's clock. Its `counter` is 1 when the window
  holds at least `volume` calls of which `error_ratio` failed, so with `fail_max=1` pybreaker trips exactly
  then (the rule of Hystrix: 20 requests and 50 % errors in 10 s, then open for 5 s, then one trial).
* `Breaker` admits calls itself, awaits them outside pybreaker, and hands over finished outcomes. When
  half open one trial runs at a time. A cancelled call is neither failure nor success. An outcome of a call
  admitted before the latest change of state says nothing about the present one and is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pybreaker

from harness.system import Clock

CLOSED = pybreaker.STATE_CLOSED
OPEN = pybreaker.STATE_OPEN
HALF_OPEN = pybreaker.STATE_HALF_OPEN

BUCKETS = 10
"""Hystrix divides its window into ten buckets; old outcomes leave a bucket at a time."""


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When to open, for how long. Defaults are those of Hystrix.

    It opens when the window holds at least `volume` calls, and `error_ratio` of them failed or `slow_ratio` of them
    took `slow_call_s` or longer; None: calls are never slow. It also opens after `error_volume` failures in the
    window, and after `consecutive` failures without a success between them, however small a share that is; None: no
    number is enough. `trials`: how many calls at a time are admitted when it is half open.
    """

    volume: int = 20
    error_ratio: float = 0.5
    window_s: float = 10.0
    open_s: float = 5.0
    slow_call_s: float | None = None
    slow_ratio: float = 0.5
    error_volume: int | None = None
    consecutive: int | None = None
    trials: int = 1

    def __post_init__(self) -> None:
        if not (
            self.volume >= 1
            and 0 < self.error_ratio <= 1
            and self.window_s > 0
            and self.open_s > 0
            and (self.slow_call_s is None or self.slow_call_s > 0)
            and 0 < self.slow_ratio <= 1
            and (self.error_volume is None or self.error_volume >= 1)
            and (self.consecutive is None or self.consecutive >= 1)
            and self.trials >= 1
        ):
            raise ValueError(
                f"{self}: volume, error_volume, consecutive and trials >= 1, ratios > 0 and at most 1, "
                "and positive times are needed"
            )


HYSTRIX = BreakerPolicy()

LAST_RESORT = BreakerPolicy(error_ratio=0.9)
"""For calls without a fallback: half of the answers are better than none, so that only a dependency that is as good
as gone is left alone."""


class BreakerOpen(Exception):
    """The call was not made. `retry_after_s`: when a trial will be admitted (0 while one is running)."""

    def __init__(self, name: str, retry_after_s: float) -> None:
        super().__init__(f"circuit breaker '{name}' is open")
        self.retry_after_s = retry_after_s


class _Failed(Exception):
    """Stands for a failure when an outcome is handed to pybreaker."""


def _failed() -> None:
    raise _Failed


def _succeeded() -> None:
    return


class WindowStorage(pybreaker.CircuitMemoryStorage):
    """pybreaker's storage, with a rolling window for a counter and the host's clock for a calendar."""

    def __init__(self, clock: Clock, policy: BreakerPolicy) -> None:
        super().__init__(CLOSED)
        self._clock = clock
        self._policy = policy
        self._opened_at_s: float | None = None
        self._buckets: deque[list[int]] = deque()  # [bucket number, calls, failures, slow calls]
        self._consecutive = 0
        self.slow = False
        """Whether the call whose outcome comes next was slow."""

    @property
    def state(self) -> str:
        return str(self._state)

    @state.setter
    def state(self, state: str) -> None:
        # Outcomes of one state must not weigh on the next.
        self._state = state
        self._buckets.clear()
        self._consecutive = 0

    def _count(self, failures: int) -> None:
        number = int(self._clock.now() / (self._policy.window_s / BUCKETS))
        if not self._buckets or self._buckets[-1][0] != number:
            self._buckets.append([number, 0, 0, 0])
        self._buckets[-1][1] += 1
        self._buckets[-1][2] += failures
        self._buckets[-1][3] += self.slow
        self._consecutive = self._consecutive + 1 if failures else 0
        while self._buckets[0][0] <= number - BUCKETS:
            self._buckets.popleft()

    def increment_counter(self) -> None:
        self._count(1)

    def reset_counter(self) -> None:
        """pybreaker calls this for every success (and when it closes; the window is emptied then)."""
        self._count(0)

    @property
    def counter(self) -> int:
        """1 when the window says "trip", else 0; to be compared with `fail_max=1`."""
        policy = self._policy
        calls, failures, slow = self._sums
        if policy.error_volume is not None and failures >= policy.error_volume:
            return 1
        if policy.consecutive is not None and self._consecutive >= policy.consecutive:
            return 1
        return int(
            calls >= policy.volume
            and (failures >= policy.error_ratio * calls or slow >= policy.slow_ratio * calls)
        )

    @property
    def window(self) -> tuple[int, int]:
        """Calls and failures in the window now."""
        return self._sums[:2]

    @property
    def _sums(self) -> tuple[int, int, int]:
        oldest = int(self._clock.now() / (self._policy.window_s / BUCKETS)) - BUCKETS
        live = [bucket for bucket in self._buckets if bucket[0] > oldest]
        return sum(b[1] for b in live), sum(b[2] for b in live), sum(b[3] for b in live)

    @property
    def retry_after_s(self) -> float:
        """How long the breaker, once open, still refuses; exact on the host's clock."""
        if self._opened_at_s is None:
            return 0.0
        return max(0.0, self._opened_at_s + self._policy.open_s - self._clock.now())

    @property
    def opened_at(self) -> datetime | None:
        """None once a trial is due, else a date far ahead: pybreaker's own calendar never decides."""
        if self.retry_after_s <= 0.0:
            return None
        return datetime.now(UTC) + timedelta(days=1)

    @opened_at.setter
    def opened_at(self, _: datetime) -> None:
        self._opened_at_s = self._clock.now()


class _Listener(pybreaker.CircuitBreakerListener):
    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed

    def state_change(self, cb: object, old_state: object, new_state: pybreaker.CircuitBreakerState) -> None:
        self._changed(new_state.name)


class Breaker:
    """One breaker a dependency. Not for threads: one event loop."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        policy: BreakerPolicy = HYSTRIX,
        *,
        is_failure: Callable[[Exception], bool] = lambda error: True,
        is_neutral: Callable[[Exception], bool] = lambda error: False,
        on_change: Callable[[str], None] = lambda state: None,
    ) -> None:
        """`is_failure` tells failures of the dependency from its answers (e.g. "no such title"). An error that
        `is_neutral` says nothing about the dependency, such as the caller's own deadline, and is not counted.

        `on_change` gets the new state's name: closed, open or half-open.
        """
        self.name = name
        self._is_failure = is_failure
        self._is_neutral = is_neutral
        self._clock = clock
        self._policy = policy
        self._on_change = on_change
        self._generation = 0
        self._trials = 0
        self._storage = WindowStorage(clock, policy)
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=1,
            state_storage=self._storage,
            name=name,
            throw_new_error_on_trip=False,
            listeners=[_Listener(self._changed)],
        )

    @property
    def state(self) -> str:
        return str(self._breaker.current_state)

    @property
    def ready(self) -> bool:
        """Whether a call would be admitted now."""
        if self.state == OPEN:
            return self._storage.opened_at is None
        return self.state != HALF_OPEN or self._trials < self._policy.trials

    async def call[T](self, operation: Callable[[], Awaitable[T]]) -> T:
        """Await `operation()` if the circuit allows. Raises BreakerOpen, or whatever the operation raises."""
        generation, trial = self._admit()
        started_s = self._clock.now()
        try:
            result = await operation()
        except Exception as error:
            if not self._is_neutral(error):
                self._record(generation, started_s, failed=self._is_failure(error))
            raise
        else:
            self._record(generation, started_s, failed=False)
            return result
        finally:
            # Also when cancelled: the next call is then the trial.
            if trial and generation == self._generation:
                self._trials -= 1

    def _admit(self) -> tuple[int, bool]:
        if self.state == OPEN:
            if self._storage.opened_at is not None:
                raise BreakerOpen(self.name, self._storage.retry_after_s)
            self._breaker.half_open()
        if self.state == HALF_OPEN:
            if self._trials >= self._policy.trials:
                raise BreakerOpen(self.name, 0.0)
            self._trials += 1
            return self._generation, True
        return self._generation, False

    def _record(self, generation: int, started_s: float, *, failed: bool) -> None:
        if generation != self._generation:
            return
        slow_s = self._policy.slow_call_s
        slow = self._storage.slow = slow_s is not None and self._clock.now() - started_s >= slow_s
        if failed:
            # pybreaker re-raises what it is told of; the caller raises the real error.
            try:
                self._breaker.call(_failed)
            except _Failed:
                return
        elif slow and self.state == HALF_OPEN:
            self._breaker.open()
        else:
            self._breaker.call(_succeeded)
            # pybreaker looks at the counter after failures only.
            if slow and self.state == CLOSED and self._storage.counter:
                self._breaker.open()

    def _changed(self, state: str) -> None:
        self._generation += 1
        self._trials = 0
        self._on_change(state)
