"""What the topology gives a link: latency, jitter, losses, and the rates that it shares."""

from __future__ import annotations

import pytest

from harness.faults.primitives import FaultFailed, HostIdentity
from harness.live.links import BaseShapes, SharedLimit, limit_groups
from harness.runtime.routes import Routes
from harness.system import Access, Host, Link, Node, Topology

MAX_BPS = 1e9


async def nothing(_: Host) -> None: ...


LINKS = (
    Link("left", "middle", rtt_s=0.01, bandwidth_bps=1e8, jitter_s=0.002, loss=0.1),
    Link("middle", "right", rtt_s=0.01, bandwidth_bps=1e8),
    Link("right", "store", rtt_s=0.001, bandwidth_bps=1e8),
    Link("middle", "far", rtt_s=0.01, bandwidth_bps=40e9),
)
TOPOLOGY = Topology(
    zones=("left", "middle", "right", "far", "island"),
    nodes=(Node("store", "store", "right", nothing),),
    links=LINKS,
)
STORE = HostIdentity("store", "store", "right")
CLIENT = HostIdentity("ann", "viewer", "left", "group")
HOME = Access(down_bps=16e6, up_bps=4e6, rtt_s=0.03, jitter_s=0.004, loss=0.5)


def test_links_of_one_route_are_in_different_groups() -> None:
    routes = Routes()
    for link in LINKS:
        routes.add(link)
    groups = limit_groups(routes, TOPOLOGY, MAX_BPS)
    assert set(groups) == {f"{a}>{b}" for link in LINKS[:3] for a, b in ((link.a, link.b), (link.b, link.a))}
    assert len({groups[name] for name in ("left>middle", "middle>right", "right>store")}) == 3
    assert max(groups.values()) == 2


def test_a_client_link_has_the_limits_of_its_access_and_of_every_hop() -> None:
    shapes = BaseShapes(TOPOLOGY, MAX_BPS)
    shapes.attach(CLIENT, HOME)
    up, down = shapes.between(CLIENT, STORE)
    for shape in (up, down):
        assert shape.latency_s == pytest.approx((0.03 + 0.02 + 0.001) / 2)
        assert shape.jitter_s == pytest.approx(0.001 + 0.002)
        assert shape.loss == pytest.approx(1 - 0.5 * 0.9)
    assert up.limits[0] == SharedLimit("access", (True, "ann"), 4e6)
    assert down.limits[0] == SharedLimit("access", (False, "ann"), 16e6)
    assert [limit.key for limit in up.limits[1:]] == ["left>middle", "middle>right", "right>store"]
    assert [limit.key for limit in down.limits[1:]] == ["store>right", "right>middle", "middle>left"]
    assert len({limit.group for limit in up.limits}) == len(up.limits)


def test_fast_links_have_no_limit() -> None:
    shapes = BaseShapes(TOPOLOGY, MAX_BPS)
    up, _ = shapes.between(HostIdentity("bob", "node", "far"), HostIdentity("eve", "node", "middle"))
    assert up.limits == ()


def test_zones_without_a_route() -> None:
    with pytest.raises(FaultFailed):
        BaseShapes(TOPOLOGY, MAX_BPS).between(HostIdentity("bob", "node", "island"), STORE)
