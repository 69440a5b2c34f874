"""What the topology gives a link before any fault: latency, jitter, loss, and the rates that it shares with others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from harness.faults.primitives import FaultFailed, HostIdentity
from harness.runtime.routes import ATTACH_RTT_S, Hop, Routes
from harness.system import Access, Topology


@dataclass(frozen=True, slots=True)
class SharedLimit:
    """A rate (bit/s) that a link shares with all others of the same `key`. A link has one of each `group` at most."""

    group: Hashable
    key: Hashable
    rate_bps: float


@dataclass(frozen=True, slots=True)
class BaseShape:
    """One direction of a link without faults: seconds, a share of the packets, and rates."""

    latency_s: float
    jitter_s: float
    loss: float = 0.0
    limits: tuple[SharedLimit, ...] = ()


class BaseShapes:
    """The base shapes of all links of a run. Links of the topology from `max_bps` on are not limited."""

    def __init__(self, topology: Topology, max_bps: float) -> None:
        self._routes = Routes()
        for link in topology.links:
            self._routes.add(link)
        self._groups = limit_groups(self._routes, topology, max_bps)
        self._access: dict[str, Access] = {}

    def attach(self, client: HostIdentity, access: Access) -> None:
        """Add a client with its access link."""
        self._access[client.name] = access

    def detach(self, client: HostIdentity) -> None:
        del self._access[client.name]

    def is_client(self, host: HostIdentity) -> bool:
        return host.name in self._access

    def distance(self, initiator: HostIdentity, target: HostIdentity) -> tuple[bool, float]:
        """A key to sort targets by: own zone first, then by round trip."""
        return self._routes.distance(initiator.zone, target.zone)

    def between(self, initiator: HostIdentity, target: HostIdentity) -> tuple[BaseShape, BaseShape]:
        """Both directions: to the target, and back. FaultFailed when there is no route between their zones."""
        route = self._routes.find(initiator.zone, target.zone)
        if route is None:
            raise FaultFailed(f"the topology has no route from zone {initiator.zone} to zone {target.zone}")
        latency_s = (self._attach_rtt_s(initiator) + route.rtt_s + self._attach_rtt_s(target)) / 2
        jitter_s = sum(hop.jitter_s for hop in route.hops)
        if (access := self._access.get(initiator.name)) is not None:
            jitter_s += access.jitter_s / 2
        return (
            self._shape(initiator, target, latency_s, jitter_s),
            self._shape(target, initiator, latency_s, jitter_s),
        )

    def _shape(self, src: HostIdentity, dst: HostIdentity, latency_s: float, jitter_s: float) -> BaseShape:
        delivered, limits = 1.0, []
        for host, uplink in ((src, True), (dst, False)):
            if (access := self._access.get(host.name)) is not None:
                delivered *= 1.0 - access.loss
                rate_bps = access.up_bps if uplink else access.down_bps
                limits.append(SharedLimit("access", (uplink, host.name), rate_bps))
        for hop in self._hops(src, dst):
            delivered *= 1.0 - hop.loss
            if hop.name in self._groups:
                group = ("link", self._groups[hop.name])
                limits.append(SharedLimit(group, hop.name, hop.bandwidth_bps))
        return BaseShape(latency_s, jitter_s, round(1.0 - delivered, 9), tuple(limits))

    def _hops(self, src: HostIdentity, dst: HostIdentity) -> Iterator[Hop]:
        for a, b in ((src.name, src.zone), (src.zone, dst.zone), (dst.zone, dst.name)):
            if self._routes.has(a) and self._routes.has(b) and (route := self._routes.find(a, b)) is not None:
                yield from route.hops

    def _attach_rtt_s(self, host: HostIdentity) -> float:
        """Round trip between a host and its zone."""
        access = self._access.get(host.name)
        if access is not None:
            return access.rtt_s
        route = self._routes.find(host.name, host.zone) if self._routes.has(host.name) else None
        return ATTACH_RTT_S if route is None else route.rtt_s


def limit_groups(routes: Routes, topology: Topology, max_bps: float) -> dict[str, int]:
    """A group for every hop with a rate below `max_bps`, by the name of the hop.

    A packet waits in one queue of a group at most, so hops of one route are in different groups (a greedy colouring,
    the busiest hop first).
    """
    together: dict[str, set[str]] = defaultdict(set)
    places = [*topology.zones, *(node.name for node in topology.nodes if routes.has(node.name))]
    for src in places:
        for dst in places:
            route = routes.find(src, dst) if routes.has(src) and routes.has(dst) else None
            if route is None:
                continue
            names = [hop.name for hop in route.hops if hop.bandwidth_bps < max_bps]
            for name in names:
                together[name] |= set(names)
    groups: dict[str, int] = {}
    for name in sorted(together, key=lambda name: (-len(together[name]), name)):
        taken = {groups[other] for other in together[name] if other in groups}
        groups[name] = min(set(range(len(taken) + 1)) - taken)
    return groups
