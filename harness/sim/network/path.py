"""What lies between two machines: the way through the topology, and what faults lay on it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from harness.faults.primitives import Exposure, LinkShape, PathMatch
from harness.sim.network.fair import Pipe
from harness.system import Link

MSS_BYTES = 1460
"""Payload of a full TCP segment over Ethernet (1,500 - 40)."""

# Throughput of TCP under random loss p: MSS / RTT * sqrt(3/2) / sqrt(p)
# (Mathis, Semke, Mahdavi, Ott: The macroscopic behavior of the TCP congestion avoidance algorithm, 1997).
_MATHIS = math.sqrt(1.5)


def loss_limit_Bps(loss: float, rtt_s: float) -> float:
    """What random loss leaves of a TCP stream's rate: bytes/s, infinite without loss."""
    return math.inf if loss <= 0 else MSS_BYTES / max(rtt_s, 1e-4) * _MATHIS / math.sqrt(loss)


@dataclass(frozen=True, slots=True)
class Hop:
    """One direction of a link as it is used by a path. `pipe` is None where it is unlimited."""

    latency_s: float
    jitter_s: float
    loss: float
    pipe: Pipe | None


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


def make_path(hops: tuple[Hop, ...], rtt_s: float, rules: tuple[Rule, ...], pair: str) -> Path:
    """Put the hops and the rules together. `rtt_s` is the round trip without the rules."""
    latency = jitter = 0.0
    through = 1.0
    pipes: list[Pipe] = []
    blocked = False
    for hop in hops:
        latency += hop.latency_s
        jitter += hop.jitter_s
        through *= 1.0 - hop.loss
        if hop.pipe is not None:
            pipes.append(hop.pipe)
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


class Map:
    """The zones and the links between them: which hops lead from zone to zone."""

    def __init__(self) -> None:
        self._out: dict[str, dict[str, tuple[float, Hop]]] = {}
        self._routes: dict[tuple[str, str], tuple[float, tuple[Hop, ...]] | None] = {}

    def add(self, link: Link) -> None:
        """A full-duplex link between two places; a later one between the same two replaces it."""
        for src, dst in ((link.a, link.b), (link.b, link.a)):
            self._out.setdefault(src, {})[dst] = (link.rtt_s, _hop(link, f"{src}>{dst}"))
        self._routes.clear()

    def has(self, place: str) -> bool:
        return place in self._out

    def route(self, src: str, dst: str) -> tuple[float, tuple[Hop, ...]] | None:
        """The path of least round-trip time (then fewest hops, then names) and its rtt; None without one."""
        key = (src, dst)
        if key not in self._routes:
            self._routes[key] = self._search(src, dst)
        return self._routes[key]

    def _search(self, src: str, dst: str) -> tuple[float, tuple[Hop, ...]] | None:
        order = count()
        heap: list[tuple[float, int, int, str, tuple[Hop, ...]]] = [(0.0, 0, next(order), src, ())]
        done: set[str] = set()
        while heap:
            rtt, n_hops, _, place, hops = heapq.heappop(heap)
            if place == dst:
                return rtt, hops
            if place in done:
                continue
            done.add(place)
            for near, (link_rtt, hop) in sorted(self._out.get(place, {}).items(), key=lambda item: item[0]):
                if near not in done:
                    heapq.heappush(heap, (rtt + link_rtt, n_hops + 1, next(order), near, (*hops, hop)))
        return None


def _hop(link: Link, name: str) -> Hop:
    pipe = None if math.isinf(link.bandwidth_bps) else Pipe(name, link.bandwidth_bps / 8)
    return Hop(link.rtt_s / 2, link.jitter_s / 2, link.loss, pipe)
