"""The path between two machines: the hops of its route, and the rules that faults add."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass

from harness.faults.primitives import Exposure, LinkShape, PathMatch
from harness.runtime.routes import Hop, loss_limit_Bps
from harness.sim.network.fair import Pipe


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
            pipe = self._pipes[hop] = Pipe(hop.name, hop.bandwidth_bps / 8)
        return pipe


class Rule:
    """A fault's change to all traffic that fits `match`, in force until removed. Counts what it touches."""

    __slots__ = ("_blocked", "_bytes", "_drop", "_seen", "_shared", "cut", "match", "shape")

    def __init__(
        self, match: PathMatch, shape: LinkShape | None, cut: bool, drop: Callable[[Rule], None]
    ) -> None:
        self.match = match
        self.shape = shape
        self.cut = cut
        self._drop = drop
        self._seen: set[int] = set()
        self._blocked = 0
        self._bytes = 0
        self._shared: Pipe | None = None

    def touch(self, connection: int, n_bytes: int) -> None:
        self._seen.add(connection)
        self._bytes += n_bytes

    def blocked(self) -> None:
        """A connection attempt was left unanswered."""
        self._blocked += 1

    def pipe(self, name: str) -> Pipe | None:
        """The limit that this rule puts on a pair of machines (or on all of them together)."""
        if self.shape is None or self.shape.bandwidth_bps is None:
            return None
        capacity = self.shape.bandwidth_bps / 8
        if not self.shape.shared:
            return Pipe(name, capacity)
        if self._shared is None:
            self._shared = Pipe("shared limit", capacity)
        return self._shared

    def remove(self) -> None:
        """Take it off again. Idempotent."""
        self._drop(self)

    def exposure(self) -> Exposure:
        return Exposure(connections=len(self._seen), connects_blocked=self._blocked, bytes=self._bytes)


@dataclass(slots=True, eq=False)
class Path:
    """One way from a machine to another, with the rules in force. Times in s, rates in bytes/s.

    `blocked`: nothing gets through. `limit_Bps`: what loss leaves of a TCP stream's rate.
    """

    latency_s: float
    jitter_s: float
    loss: float
    pipes: tuple[Pipe, ...]
    limit_Bps: float
    blocked: bool
    rules: tuple[Rule, ...]
    valid: bool = True


def make_path(
    hops: tuple[Hop, ...], pipe_of: Pipes, rtt_s: float, rules: tuple[Rule, ...], pair: str
) -> Path:
    """Put the hops and the rules together. `rtt_s` is the round trip without the rules."""
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
    for rule in rules:
        blocked = blocked or rule.cut
        if rule.shape is not None:
            latency += rule.shape.latency_s
            jitter += rule.shape.jitter_s
            rtt_s += rule.shape.latency_s
            through *= 1.0 - rule.shape.loss
            if (extra := rule.pipe(pair)) is not None:
                pipes.append(extra)
    loss = 1.0 - through
    limit = loss_limit_Bps(loss, rtt_s)
    return Path(latency, jitter, loss, tuple(dict.fromkeys(pipes)), limit, blocked, rules)
