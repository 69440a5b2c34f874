"""The path between two machines: the hops of its route, and the impairments by faults."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass

from harness.faults.primitives import Exposure, LinkShape, PathMatch
from harness.runtime.routes import Hop, loss_limit_Bps
from harness.sim.network.fair import Pipe
from harness.sim.network.window import MAX_WINDOW_BYTES


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


class Pipes:
    """The pipe of each hop that has a limit. A pipe lives as long as its hop."""

    def __init__(self) -> None:
        self._pipes: weakref.WeakKeyDictionary[Hop, Pipe] = weakref.WeakKeyDictionary()

    def get(self, hop: Hop) -> Pipe | None:
        """None for a hop without a limit."""
        if math.isinf(hop.bandwidth_bps):
            return None
        pipe = self._pipes.get(hop)
        if pipe is None:
            pipe = self._pipes[hop] = Pipe(hop.name, hop.bandwidth_bps / 8, hop.queue_bytes)
        return pipe


@dataclass(slots=True, eq=False)
class Path:
    """One direction between two machines, with the impairments in force. Times in s, rates in bytes/s.

    `blocked`: nothing gets through. `limit_Bps`: the rate at which TCP sends under its loss. `line_Bps`: what a single
    flow gets at most. `full_bytes`: the most that can be under way: on the line and in its queue.
    `valid` turns false when the path changes: ask the network again.
    """

    latency_s: float
    jitter_s: float
    loss: float
    pipes: tuple[Pipe, ...]
    limit_Bps: float
    blocked: bool
    impairments: tuple[Impairment, ...]
    line_Bps: float = math.inf
    full_bytes: float = MAX_WINDOW_BYTES
    valid: bool = True

    def queue_s(self, now_s: float) -> float:
        """How long something that starts now waits in queues."""
        return sum(pipe.delay_s(now_s) for pipe in self.pipes) if self.pipes else 0.0


def make_path(
    hops: tuple[Hop, ...], pipe_of: Pipes, rtt_s: float, impairments: tuple[Impairment, ...], pair: str
) -> Path:
    """Put the hops and the impairments together. `rtt_s` is the round trip without the impairments."""
    latency = jitter = 0.0
    through = 1.0
    pipes: list[Pipe] = []
    blocked = False
    for hop in hops:
        latency += hop.latency_s
        jitter += hop.jitter_s
        through *= 1.0 - hop.loss
        if (pipe := pipe_of.get(hop)) is not None:
            pipes.append(pipe)
    for each in impairments:
        blocked = blocked or each.cut
        if each.shape is not None:
            latency += each.shape.latency_s
            jitter += each.shape.jitter_s
            rtt_s += each.shape.latency_s
            through *= 1.0 - each.shape.loss
            if (extra := each.pipe(pair)) is not None:
                pipes.append(extra)
    loss = 1.0 - through
    limit = loss_limit_Bps(loss, rtt_s)
    tightest = min(pipes, key=lambda pipe: pipe.capacity_Bps, default=None)
    line = math.inf if tightest is None else tightest.capacity_Bps
    full = math.inf if tightest is None else line * rtt_s + tightest.queue.limit_bytes
    return Path(
        latency,
        jitter,
        loss,
        tuple(dict.fromkeys(pipes)),
        limit,
        blocked,
        impairments,
        min(line, limit),
        min(full, limit * rtt_s, MAX_WINDOW_BYTES),
    )
