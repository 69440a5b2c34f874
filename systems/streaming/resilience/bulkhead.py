"""Bounded concurrency for one dependency or one class of work, without a queue.

A queue in front of a slow dependency only turns refusals into timeouts; so the call over the limit is
refused at once (Hystrix' pools have no queue either) and the caller falls back.
"""

from __future__ import annotations

from types import TracebackType


class BulkheadFull(Exception):
    """All places are taken; the call was not made."""


class Bulkhead:
    """`with bulkhead:` takes a place or raises BulkheadFull."""

    def __init__(self, name: str, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"bulkhead '{name}': limit is {limit}; it must be at least 1")
        self.name = name
        self.limit = limit
        self._active = 0

    @property
    def active(self) -> int:
        return self._active

    def __enter__(self) -> None:
        if self._active >= self.limit:
            raise BulkheadFull(f"bulkhead '{self.name}' is full: {self.limit} calls are in flight")
        self._active += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._active -= 1
