"""`Impairment`: what a fault does to the traffic between machines."""

from __future__ import annotations

from collections.abc import Callable

from harness.faults.primitives import Exposure, LinkShape, PathMatch
from harness.sim.network.fair import Pipe


class Impairment:
    """A fault's change to all traffic that matches, in force until removed. It counts the traffic.

    `cut`: nothing gets through. `shape`: what is added to the path otherwise.
    """

    __slots__ = ("_blocked", "_bytes", "_lift", "_seen", "_shared", "cut", "match", "shape")

    def __init__(
        self, match: PathMatch, shape: LinkShape | None, cut: bool, lift: Callable[[Impairment], None]
    ) -> None:
        self.match = match
        self.shape = shape
        self.cut = cut
        self._lift = lift
        self._seen: set[int] = set()
        self._blocked = 0
        self._bytes = 0
        self._shared: Pipe | None = None

    def touch(self, connection: int, n_bytes: int) -> None:
        """Count so many bytes of a connection."""
        self._seen.add(connection)
        self._bytes += n_bytes

    def block(self) -> None:
        """Count a connection attempt that was left unanswered."""
        self._blocked += 1

    def pipe(self, name: str) -> Pipe | None:
        """The limit of the traffic between a pair of machines (or of all traffic together); None without one."""
        if self.shape is None or self.shape.bandwidth_bps is None:
            return None
        capacity = self.shape.bandwidth_bps / 8
        if not self.shape.shared:
            return Pipe(name, capacity)
        if self._shared is None:
            self._shared = Pipe("shared limit", capacity)
        return self._shared

    def remove(self) -> None:
        """Restore the traffic. Idempotent."""
        self._lift(self)

    def exposure(self) -> Exposure:
        return Exposure(connections=len(self._seen), connects_blocked=self._blocked, bytes=self._bytes)
