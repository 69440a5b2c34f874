"""`ResolvedTarget`: the hosts of a selector in this run. The engine makes it and passes it to `Fault.apply`."""

from __future__ import annotations

from dataclasses import dataclass

from harness.faults.primitives import PathMatch


@dataclass(frozen=True, slots=True)
class ResolvedTarget:
    """`nodes`: the servers, in the order of the topology; empty where the target is a link.

    `path`: for a link, the traffic from its `from` end to its `to` end. For hosts, everything that flows
    towards them (so that a link fault on hosts means all their traffic). The reverse is `path.reversed()`.
    `names`: what people are shown, e.g. `("edge-a-1", "edge-a-2")` or `("edge > storage",)`.
    """

    nodes: tuple[str, ...]
    path: PathMatch
    names: tuple[str, ...]
