"""The toxics of a link and of the faults on it, by what the proxy server and the kernel can do."""

from __future__ import annotations

import pytest

from harness.faults.primitives import EndpointMatch, HostIdentity, LinkShape, PathMatch
from harness.live.link_toxics import ProxyFeatures, base_toxics, fault_toxics
from harness.live.links import BaseShape, Conditions, Link, LinkFault, SharedLimit
from harness.live.toxiproxy import FOREVER_MS, Toxic
from harness.runtime.routes import loss_limit_Bps

OWN = ProxyFeatures()
VANILLA = ProxyFeatures(extended=False)
KERNEL = ProxyFeatures(kernel=True)

LINK = Link(
    "ann~store~80",
    HostIdentity("ann", "viewer", "left", "group"),
    HostIdentity("store", "store", "right"),
    80,
    (
        BaseShape(0.0104, 0.001, 0.0, (SharedLimit("access", "up", 4e6), SharedLimit("link", "l>r", 8e6))),
        BaseShape(0.0104, 0.001, 0.02),
    ),
)
ANYONE, STORE = EndpointMatch(everything=True), EndpointMatch(frozenset({"store"}))


TO_STORE = PathMatch(ANYONE, STORE)


def fault(shape: LinkShape | None, match: PathMatch = TO_STORE) -> LinkFault:
    return LinkFault(7, match, shape)


def by_name(toxics: list[Toxic]) -> dict[str, dict[str, int | str]]:
    return {toxic.name: dict(toxic.attributes) for toxic in toxics}


def test_own_proxies_share_every_limit_and_delay_in_microseconds() -> None:
    assert by_name(list(base_toxics(LINK, OWN))) == {
        "base-upstream-latency": {"latency_us": 10_400, "jitter_us": 1000},
        "base-upstream-1-bandwidth": {"rate": 500, "group": "access up"},
        "base-upstream-2-bandwidth": {"rate": 1000, "group": "link l>r"},
        "base-downstream-latency": {"latency_us": 10_400, "jitter_us": 1000},
    }


def test_a_vanilla_server_limits_each_connection_and_delays_in_milliseconds() -> None:
    toxics = by_name(list(base_toxics(LINK, VANILLA)))
    assert toxics["base-upstream-latency"] == {"latency": 10, "jitter": 1}
    assert toxics["base-upstream-bandwidth"] == {"rate": 500}


def test_with_the_kernel_a_proxy_limits_to_what_loss_leaves_of_the_round_trip() -> None:
    toxics = by_name(list(base_toxics(LINK, KERNEL)))
    assert set(toxics) == {"base-upstream-latency", "base-downstream-latency", "base-downstream-bandwidth"}
    assert toxics["base-downstream-bandwidth"]["rate"] == round(loss_limit_Bps(0.02, LINK.rtt_s) / 1000)
    # At most what Mathis and others say without time-outs: MSS / RTT * sqrt(3/2) / sqrt(p) bytes a second.
    assert loss_limit_Bps(0.02, LINK.rtt_s) < 1460 / LINK.rtt_s * 1.5**0.5 / 0.02**0.5


def test_a_cut_is_one_way_and_the_kernel_does_it_where_it_can() -> None:
    (toxic,) = fault_toxics(LINK, fault(None), OWN)
    assert (toxic.stream, toxic.attributes) == ("upstream", {"latency": FOREVER_MS})
    assert list(fault_toxics(LINK, fault(None), KERNEL)) == []
    elsewhere = PathMatch(EndpointMatch(frozenset({"bob"})), STORE)
    assert list(fault_toxics(LINK, fault(None, elsewhere), OWN)) == []


@pytest.mark.parametrize(
    ("shared", "features", "group"),
    [(False, OWN, "fault-7 ann > store"), (True, OWN, "fault-7"), (False, VANILLA, None)],
)
def test_a_rate_is_for_a_pair_of_hosts_or_for_all(
    shared: bool, features: ProxyFeatures, group: str | None
) -> None:
    (toxic,) = fault_toxics(LINK, fault(LinkShape(bandwidth_bps=1e6, shared=shared)), features)
    assert toxic.attributes.get("group") == group


def test_what_proxies_cannot_do() -> None:
    loss, shared = LinkShape(loss=0.1), LinkShape(bandwidth_bps=1e6, shared=True)
    assert OWN.problem(loss)
    assert VANILLA.problem(shared)
    assert OWN.problem(shared) is KERNEL.problem(loss) is OWN.problem(None) is None


def test_conditions_of_a_link() -> None:
    conditions = Conditions()
    assert not conditions.silent(LINK)
    assert not conditions.refused(LINK)
    conditions.faults[7] = fault(None)
    conditions.faults[8] = LinkFault(8, PathMatch(STORE, ANYONE), LinkShape(latency_s=0.1))
    conditions.refusing.add("store")
    assert conditions.silent(LINK)
    assert conditions.refused(LINK)
    assert conditions.on(LINK, "upstream") == [7]
    assert conditions.on(LINK, "downstream") == [8]
