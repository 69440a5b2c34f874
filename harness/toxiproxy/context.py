"""What the parts of one server share: its loop, its clock, its seed, its settings, its metrics, its tasks."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from harness.toxiproxy.budget import LoopBudget
from harness.toxiproxy.chunk import READ_BYTES
from harness.toxiproxy.clock import Clock
from harness.toxiproxy.descriptors import Descriptors
from harness.toxiproxy.metrics import Metrics
from harness.toxiproxy.poller import Poller
from harness.toxiproxy.rate_limiter import RateLimiters

BULK_BYTES = 1 << 20
"""What one toxic holds of one connection to count as bulk."""
_TRIM_AFTER_S = 0.5


@dataclass
class ServerContext:
    loop: asyncio.AbstractEventLoop
    clock: Clock
    poller: Poller
    metrics: Metrics
    seed: int
    dial_timeout_s: float
    """How long an upstream may take to accept a connection."""
    strict: bool = False
    """Behave as any other Toxiproxy server does."""
    buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(READ_BYTES)))
    """Where relays read bytes that they write at once."""
    rate_limiters: RateLimiters = field(default_factory=RateLimiters)
    descriptors: Descriptors = field(default_factory=Descriptors)
    budget: LoopBudget = field(init=False)
    nested: int = field(default=0, init=False)
    """Stages that run now, each resumed by the one before it."""
    held_bulk: bool = field(default=False, init=False)
    """Toxics have held bulk data since memory was last returned to the system."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    """All running tasks: the server waits for them when it stops."""

    def __post_init__(self) -> None:
        self.budget = LoopBudget(self.clock)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = self.loop.create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def return_memory(self) -> None:
        """A connection is closed: give what toxics have held back to the system soon.

        The C library keeps what was freed between blocks that are still in use: a hundred megabytes after bulk data
        under `latency`.
        """
        if self.held_bulk:
            self.held_bulk = False
            self.loop.call_later(_TRIM_AFTER_S, _trim)

    def rng(self, *of: object) -> random.Random:
        """An independent random stream for everything that has a name, so that one more shifts no other."""
        return random.Random(":".join(map(str, (self.seed, *of))))


def _trim() -> None:
    import ctypes  # only servers that have held bulk data pay for it

    with contextlib.suppress(AttributeError, OSError):  # glibc has it
        ctypes.CDLL(None).malloc_trim(0)
