"""Try the best source first, then the next; say which one answered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from harness.system import Clock


class NoFallback(Exception):
    """Every source failed; `__cause__` is the last failure."""


async def first_available[T](
    sources: Sequence[tuple[str, Callable[[], Awaitable[T]]]],
    *,
    expected: tuple[type[Exception], ...],
    on_failure: Callable[[str, Exception], None] = lambda name, error: None,
) -> tuple[str, T]:
    """The name and the answer of the first source that does not fail with an `expected` error.

    Other errors are defects and pass through. Raises NoFallback when all sources failed.
    """
    last: Exception | None = None
    for name, source in sources:
        try:
            return name, await source()
        except expected as error:
            on_failure(name, error)
            last = error
    raise NoFallback(f"no source is left after {', '.join(n for n, _ in sources) or 'none'}") from last


class LastKnownGood[V]:
    """Answers kept for the day their source fails: the `limit` most recent, each up to `max_age_s`."""

    def __init__(self, clock: Clock, *, limit: int, max_age_s: float) -> None:
        self._clock = clock
        self._limit = limit
        self._max_age_s = max_age_s
        self._kept: OrderedDict[str, tuple[float, V]] = OrderedDict()

    def keep(self, key: str, value: V) -> None:
        self._kept[key] = (self._clock.now(), value)
        self._kept.move_to_end(key)
        if len(self._kept) > self._limit:
            self._kept.popitem(last=False)

    def get(self, key: str) -> V | None:
        """The kept answer, or None when there is none or it is too old."""
        found = self._kept.get(key)
        if found is None or self._clock.now() - found[0] > self._max_age_s:
            return None
        return found[1]

    def freshest(self, *keys: str) -> V | None:
        """The newest kept answer of these keys, of equals the first; None when all are too old."""
        kept = [(self._kept[key][0], -number, key) for number, key in enumerate(keys) if key in self._kept]
        return self.get(max(kept)[2]) if kept else None

    def __len__(self) -> int:
        return len(self._kept)
