"""Links between hosts: what the topology says of each, the faults on them, and their proxies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.faults.primitives import FaultFailed, HostIdentity, LinkShape, PathMatch
from harness.live.messages import Address
from harness.runtime.routes import ATTACH_RTT_S, Hop, Routes
from harness.system import Access, Topology

if TYPE_CHECKING:
    from harness.live.kernel.requests import Flow


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


UPSTREAM, DOWNSTREAM = "upstream", "downstream"
"""The directions of a link, as Toxiproxy calls them: from the initiator to the node, and back."""


@dataclass(frozen=True, eq=False, slots=True)
class Link:
    """`shapes`: upstream and downstream, without faults."""

    name: str
    initiator: HostIdentity
    target: HostIdentity
    port: int
    shapes: tuple[BaseShape, BaseShape]

    @property
    def rtt_s(self) -> float:
        return sum(shape.latency_s for shape in self.shapes)

    def directions(self, match: PathMatch) -> Iterator[str]:
        """The directions whose traffic matches."""
        if match.matches(self.initiator, self.target):
            yield UPSTREAM
        if match.matches(self.target, self.initiator):
            yield DOWNSTREAM

    def ends(self, direction: str) -> tuple[HostIdentity, HostIdentity]:
        """Source and destination."""
        return (self.initiator, self.target) if direction == UPSTREAM else (self.target, self.initiator)


@dataclass(eq=False, slots=True)
class ProxyLink:
    """A link and its proxy. `flows`: by direction, with the kernel network."""

    link: Link
    address: Address
    flows: Mapping[str, Flow]
    unanswered: bool
    """Whether the proxy leaves connects without an answer now."""


@dataclass(frozen=True, eq=False, slots=True)
class LinkFault:
    """A fault on all links that match, one way, present and future. `shape` None: nothing passes."""

    number: int
    match: PathMatch
    shape: LinkShape | None


@dataclass(slots=True)
class Conditions:
    """The faults in force, and the nodes that refuse connects."""

    faults: dict[int, LinkFault] = field(default_factory=dict)
    refusing: set[str] = field(default_factory=set)

    def silent(self, link: Link) -> bool:
        """Whether nothing passes, in one direction at least."""
        return any(
            fault.shape is None and any(link.directions(fault.match)) for fault in self.faults.values()
        )

    def refused(self, link: Link) -> bool:
        return link.target.name in self.refusing

    def on(self, link: Link, direction: str) -> list[int]:
        """The numbers of the faults on one direction of a link."""
        return [fault.number for fault in self.faults.values() if direction in link.directions(fault.match)]
