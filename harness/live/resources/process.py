"""A process of a run, known by its id and its start time."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Literal, Self

from harness.live.processes import ENDS_ITSELF, command, environment_of, started
from harness.live.resources.base import Item, Resource


class Process(Resource):
    """`started`: clock ticks since boot, because the id is used again. None: it was gone when it was written down."""

    kind: Literal["process"] = "process"
    pid: int
    started: int | None
    name: str

    @classmethod
    def of(cls, pid: int, name: str) -> Self:
        """A process that runs now."""
        return cls(pid=pid, started=started(pid), name=name)

    def undo(self) -> Iterator[Item]:
        # One that ends by itself is given time first: `MarkedProcesses`.
        if self._runs() and ENDS_ITSELF not in environment_of(self.pid):
            yield from kill(self.pid)

    def remains(self) -> Iterator[Item]:
        if self._runs():
            yield describe(self.pid)

    def _runs(self) -> bool:
        return self.started is not None and started(self.pid) == self.started


def describe(pid: int, done: str = "") -> Item:
    return Item("process", str(pid), f"{done}process {pid} ({command(pid)})")


def kill(pid: int) -> Iterator[Item]:
    """SIGKILL; yields the process unless it is gone already."""
    item = describe(pid, "killed ")
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    yield item
