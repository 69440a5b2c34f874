"""Links of the topology that many flows share: in which row of queues each of them is."""

from __future__ import annotations

from collections import defaultdict

from harness.live.kernel.controller import MAX_BPS
from harness.runtime.routes import Routes
from harness.system import Topology


def shared_links(routes: Routes, topology: Topology, below_bps: float = MAX_BPS) -> dict[str, int]:
    """A row for every direction of a link that is limited to less than this, by the name of its hop.

    A packet waits in one queue of a row at most: links that lie on one way come into different rows (a colouring,
    greedy, the busiest first).
    """
    together: dict[str, set[str]] = defaultdict(set)
    places = [*topology.zones, *(node.name for node in topology.nodes if routes.has(node.name))]
    for src in places:
        for dst in places:
            route = routes.find(src, dst) if routes.has(src) and routes.has(dst) else None
            if route is None:
                continue
            names = [hop.name for hop in route.hops if hop.bandwidth_bps < below_bps]
            for name in names:
                together[name] |= set(names)
    rows: dict[str, int] = {}
    for name in sorted(together, key=lambda name: (-len(together[name]), name)):
        taken = {rows[other] for other in together[name] if other in rows}
        rows[name] = min(set(range(len(taken) + 1)) - taken)
    return rows
