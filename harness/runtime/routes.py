"""The routes of a topology: which links lead from place to place. The same in virtual time and live."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from itertools import count

from harness.system import Access, Link

ATTACH_RTT_S = 0.0002
"""Round trip between a node without a link of its own and its zone."""

MSS_BYTES = 1460
"""Payload of a full TCP segment over Ethernet (1,500 - 40)."""


def loss_limit_Bps(loss: float, rtt_s: float) -> float:
    """The rate at which TCP sends under random loss p: bytes/s, infinite without loss.

    The window is the larger of two, joined smoothly: sqrt(3/2p), as Reno's (Mathis, Semke, Mahdavi, Ott: The
    macroscopic behavior of the TCP congestion avoidance algorithm, 1997), and cubic's 1.054 (RTT/p)^(3/4) (RFC 9438,
    section 5.1).
    Time-outs take the share of Padhye, Firoiu, Towsley, Kurose (Modeling TCP throughput, 1998, equation 30), with a
    time-out of 2.5 round trips: fitted to Linux, which mostly repairs sooner (tail loss probes, RACK).
    """
    if loss <= 0:
        return math.inf
    rtt_s = max(rtt_s, 1e-4)
    window = math.hypot(math.sqrt(1.5 / loss), 1.054 * (rtt_s / loss) ** 0.75)
    timeouts = 2.5 * min(1.0, 3.0 * math.sqrt(3.0 * loss / 8.0)) * loss * (1.0 + 32.0 * loss**2)
    return MSS_BYTES / rtt_s / (1.0 / window + timeouts)


MIN_QUEUE_BYTES = 32 * 1024
QUEUE_S = 0.1


def default_queue_bytes(bandwidth_bps: float) -> float:
    """How much waits at most in front of a link that is not told: 100 ms at its rate, at least 32 KiB."""
    return max(MIN_QUEUE_BYTES, QUEUE_S * bandwidth_bps / 8)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Hop:
    """One direction of a link. Two routes that share a link share the same `Hop` (compared by identity)."""

    name: str
    """`src>dst`"""
    latency_s: float
    jitter_s: float
    loss: float
    bandwidth_bps: float
    """Infinite where it is unlimited."""
    queue_bytes: float | None = None
    """How much waits at most in front of it; None: `default_queue_bytes`."""


@dataclass(frozen=True, slots=True)
class Route:
    """The hops from one place to another, and the round trip along them."""

    rtt_s: float
    hops: tuple[Hop, ...]


class Routes:
    """The places of a topology (zones, and nodes with links of their own) and the links between them."""

    def __init__(self) -> None:
        self._out: dict[str, dict[str, tuple[float, Hop]]] = {}
        self._found: dict[tuple[str, str], Route | None] = {}

    def add(self, link: Link) -> None:
        """Add a full-duplex link between two places; it replaces an earlier one between the same two."""
        for src, dst in ((link.a, link.b), (link.b, link.a)):
            hop = Hop(
                f"{src}>{dst}",
                link.rtt_s / 2,
                link.jitter_s / 2,
                link.loss,
                link.bandwidth_bps,
                link.queue_bytes,
            )
            self._out.setdefault(src, {})[dst] = (link.rtt_s, hop)
        self._found.clear()

    def has(self, place: str) -> bool:
        return place in self._out

    def find(self, src: str, dst: str) -> Route | None:
        """The route of least round-trip time (then fewest hops, then names); None if there is none."""
        key = (src, dst)
        if key not in self._found:
            self._found[key] = self._search(src, dst)
        return self._found[key]

    def distance(self, src: str, dst: str) -> tuple[bool, float]:
        """A key to sort places by, as seen from `src`: `src` itself first, then by round trip (s)."""
        route = self.find(src, dst)
        return src != dst, math.inf if route is None else route.rtt_s

    def _search(self, src: str, dst: str) -> Route | None:
        """Dijkstra's algorithm."""
        order = count()
        heap: list[tuple[float, int, int, str, tuple[Hop, ...]]] = [(0.0, 0, next(order), src, ())]
        done: set[str] = set()
        while heap:
            rtt, n_hops, _, place, hops = heapq.heappop(heap)
            if place == dst:
                return Route(rtt, hops)
            if place in done:
                continue
            done.add(place)
            for near, (link_rtt, hop) in sorted(self._out.get(place, {}).items(), key=lambda item: item[0]):
                if near not in done:
                    heapq.heappush(heap, (rtt + link_rtt, n_hops + 1, next(order), near, (*hops, hop)))
        return None


def access_hops(access: Access, client: str) -> tuple[Hop, Hop]:
    """A client's access link: the hop to its zone, and the hop from its zone."""

    def hop(direction: str, rate_bps: float) -> Hop:
        return Hop(
            f"{client} {direction}",
            access.rtt_s / 2,
            access.jitter_s / 2,
            access.loss,
            rate_bps,
            access.queue_bytes,
        )

    return hop("up", access.up_bps), hop("down", access.down_bps)
