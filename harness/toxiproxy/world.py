"""What the parts of one server share: its loop, its clock, its seed, its settings, its metrics, its tasks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from harness.toxiproxy.chunk import READ_BYTES
from harness.toxiproxy.clock import Clock
from harness.toxiproxy.line import Lines
from harness.toxiproxy.metrics import Metrics


@dataclass(frozen=True)
class World:
    loop: asyncio.AbstractEventLoop
    clock: Clock
    metrics: Metrics
    seed: int
    dial_timeout_s: float
    """How long an upstream may take to accept a connection."""
    strict: bool = False
    """Behave as any other Toxiproxy server does."""
    buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(READ_BYTES)))
    """Where bytes are read to that are written on at once: no memory is taken for them."""
    lines: Lines = field(default_factory=Lines)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    """Everything that runs: awaited when the server stops, so that nothing outlives it."""

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = self.loop.create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def rng(self, *of: object) -> random.Random:
        """Random numbers of their own for everything that has a name: one more never shifts another's."""
        return random.Random(":".join(map(str, (self.seed, *of))))
