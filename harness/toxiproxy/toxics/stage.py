"""What a toxic works with on one direction of one connection: the interface between toxics and the server."""

from __future__ import annotations

import random
from typing import Protocol

from harness.toxiproxy.chunk import Chunk
from harness.toxiproxy.rate_limiter import RateLimiter


class Stage(Protocol):
    """The input that a toxic reads, the output that it writes, and its state."""

    rng: random.Random
    """Random numbers of this toxic on this direction of this connection, drawn from the seed."""
    memory: dict[str, float]
    """Values that survive an update of the toxic, such as the bytes that have passed."""

    @property
    def interrupted(self) -> bool:
        """The toxic was updated or removed: `pipe` must return without losing data."""
        ...

    @property
    def ended(self) -> bool:
        """All data was received and no more will come."""
        ...

    @property
    def ended_s(self) -> float:
        """When the end of the data arrived; meaningful once it has."""
        ...

    @property
    def now_s(self) -> float:
        """The server's monotonic clock, in seconds."""
        ...

    async def receive(self, within_s: float | None = None) -> Chunk | None:
        """The next chunk; None when interrupted, ended or closed, or when none arrives within the time."""
        ...

    def __aiter__(self) -> Stage: ...

    async def __anext__(self) -> Chunk: ...

    async def write(self, data: bytes, at_s: float | None = None) -> None:
        """Pass data on, then wait while the next toxic or the socket is full.

        `at_s` is the arrival time that the next toxic sees; the current time by default.
        """
        ...

    async def wait_until(self, at_s: float | None) -> bool:
        """Wait until that time of the clock (None: forever). False when interrupted or closed before."""
        ...

    def rate_limiter(self, name: str) -> RateLimiter:
        """The rate limiter of that name, which all connections of this server share.

        An empty name gives a limiter of this stage's own, the same one after an update.
        """
        ...

    def put_back(self, chunk: Chunk) -> None:
        """Return a chunk that was not written: it is received next, or passes when the toxic is removed."""
        ...

    def close(self) -> None:
        """Close the connection cleanly, behind what was written so far. Later data is dropped."""
        ...

    def reset(self) -> None:
        """Reset the connection. Later data is dropped."""
        ...
