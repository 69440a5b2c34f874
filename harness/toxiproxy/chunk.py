"""What travels through the toxics of one direction: chunks of bytes, then how it ended."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, Protocol

READ_BYTES = 64 * 1024
"""What is read at once where no toxic looks at it."""


class Chunk(NamedTuple):
    """Bytes that were read in one go."""

    data: bytes
    at_s: float
    """When they arrived, on the server's clock. Delays are measured from here."""


class End(Enum):
    """How a direction ends. It travels in order, behind the data."""

    EOF = "the sender will send no more: the other direction goes on"
    CLOSE = "close both sides of the connection, cleanly"
    RESET = "reset both sides of the connection"


class Outlet(Protocol):
    """Where chunks go: the next toxic, or the socket."""

    @property
    def full(self) -> bool:
        """More than it should hold: the writer waits before it puts more."""
        ...

    def put(self, item: Chunk | End) -> None:
        """Take it, always; a writer that respects `full` keeps the memory bounded."""
        ...

    def when_room(self, call: Callable[[], object]) -> None:
        """Call once there is room again. One caller at a time: the outlet has one writer."""
        ...
