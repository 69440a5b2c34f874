"""Routes between places."""

from __future__ import annotations

import math

import pytest

from harness.runtime.routes import MSS_BYTES, Routes, loss_limit_Bps
from harness.system import Link


def routes_of(*links: Link) -> Routes:
    routes = Routes()
    for link in links:
        routes.add(link)
    return routes


def link(a: str, b: str, rtt_s: float, bandwidth_bps: float = math.inf) -> Link:
    return Link(a, b, rtt_s, bandwidth_bps)


def names(routes: Routes, src: str, dst: str) -> list[str]:
    route = routes.find(src, dst)
    assert route is not None
    return [hop.name for hop in route.hops]


def test_the_shortest_round_trip_wins_over_fewer_hops() -> None:
    routes = routes_of(
        link("a", "c", 0.05),
        Link("a", "b", rtt_s=0.01, bandwidth_bps=math.inf, jitter_s=0.002, loss=0.1),
        link("b", "c", 0.02),
    )
    route = routes.find("a", "c")
    assert route is not None
    assert names(routes, "a", "c") == ["a>b", "b>c"]
    assert names(routes, "c", "a") == ["c>b", "b>a"]
    assert route.rtt_s == pytest.approx(0.03)
    first = route.hops[0]
    assert (first.latency_s, first.jitter_s, first.loss) == (0.005, 0.001, 0.1)
    assert math.isinf(first.bandwidth_bps)


def test_among_equals_the_fewest_hops_and_then_the_first_name_win() -> None:
    square = [
        link("a", "c", 1),
        link("a", "b", 1),
        link("b", "d", 1),
        link("c", "d", 1),
    ]
    assert names(routes_of(*square), "a", "d") == ["a>b", "b>d"]
    assert names(routes_of(*square, link("a", "d", 2)), "a", "d") == ["a>d"]


def test_routes_over_the_same_link_share_its_hop() -> None:
    routes = routes_of(link("a", "b", 1), link("b", "c", 1), link("b", "d", 1))
    to_c, to_d = routes.find("a", "c"), routes.find("a", "d")
    assert to_c is not None
    assert to_d is not None
    assert to_c.hops[0] is to_d.hops[0]


def test_a_later_link_replaces_an_earlier_one() -> None:
    routes = routes_of(link("a", "b", 1))
    before = routes.find("a", "b")
    routes.add(link("b", "a", 2, 8e6))
    after = routes.find("a", "b")
    assert before is not None
    assert after is not None
    assert (before.rtt_s, after.rtt_s) == (1, 2)
    assert after.hops[0].bandwidth_bps == 8e6


def test_places_without_a_route_are_the_farthest() -> None:
    routes = routes_of(link("a", "b", 2), link("a", "c", 1), link("x", "y", 0))
    assert routes.find("a", "x") is None
    assert not routes.has("nowhere")
    assert sorted("xbca", key=lambda place: routes.distance("a", place)) == ["a", "c", "b", "x"]


def test_loss_limits_the_rate() -> None:
    """Beside Mathis's formula for Reno: cubic gets more at low loss over distance, time-outs take much at high loss."""
    assert math.isinf(loss_limit_Bps(0.0, 0.1))

    def over_mathis(loss: float, rtt_s: float) -> float:
        return loss_limit_Bps(loss, rtt_s) / (MSS_BYTES / rtt_s * math.sqrt(1.5 / loss))

    assert over_mathis(0.01, 0.1) == pytest.approx(1.0, rel=0.1)
    assert over_mathis(0.0001, 0.1) > 1.5
    assert over_mathis(0.1, 0.02) < 0.7
