"""The links of a live run, each between a host and a port of a node, and the faults on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from harness.faults.primitives import HostIdentity, LinkShape, PathMatch
from harness.live.kernel.change import Flow
from harness.live.link_limits import BaseShape
from harness.live.messages import Address

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
