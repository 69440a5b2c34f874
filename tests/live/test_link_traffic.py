"""Exposure of faults on links, from the counts of proxies and of the kernel."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

import pytest

from harness.faults.exposure import Exposure
from harness.faults.primitives import EndpointMatch, HostIdentity, LinkShape, PathMatch
from harness.live.kernel.requests import Lost
from harness.live.link_traffic import LinkTraffic, link_fault_exposure
from harness.live.links import BaseShape, Link
from harness.live.toxiproxy import ToxiproxyApi, Traffic

LOST = Lost(packets=10, bytes=9000, connections=2, connects=3, either=4)
PASSED = Exposure(connections=7, bytes=70_000)


@pytest.mark.parametrize(
    ("shape", "lost", "seen"),
    [
        (None, LOST, Exposure(connections=2, connects_blocked=3, bytes=9000)),
        (None, Lost(), Exposure()),
        (LinkShape(loss=0.1), LOST, Exposure(connections=4, bytes=9000)),
        (LinkShape(loss=0.1), Lost(), Exposure()),
        (LinkShape(loss=0.1, latency_s=0.1), Lost(), PASSED),
        (LinkShape(bandwidth_bps=1e6), None, PASSED),
    ],
)
def test_exposure_is_what_was_really_dropped(
    shape: LinkShape | None, lost: Lost | None, seen: Exposure
) -> None:
    assert link_fault_exposure(shape, lost, PASSED) == seen


class Server:
    """Counts that the test sets."""

    def __init__(self) -> None:
        self.counts: dict[str, Traffic] = {}

    async def traffic(self) -> Mapping[str, Traffic]:
        return dict(self.counts)

    async def traffic_of(self, proxy: str) -> Traffic:
        return self.counts[proxy]


def link(client: str) -> Link:
    shape = BaseShape(0.0, 0.0)
    initiator, target = (
        HostIdentity(client, "viewer", "left", "group"),
        HostIdentity("store", "store", "left"),
    )
    return Link(f"{client}~store", initiator, target, 80, (shape, shape))


TO_STORE = PathMatch(EndpointMatch(everything=True), EndpointMatch(frozenset({"store"})))


def test_a_watch_counts_one_direction_of_the_links_that_carried_something() -> None:
    async def body() -> None:
        server = Server()
        traffic = LinkTraffic(cast(ToxiproxyApi, server))
        for name in ("ann", "bob"):
            traffic.add(link(name))
        server.counts = {"ann~store": Traffic(100, 1000, 2, 2), "bob~store": Traffic(50, 500, 1, 1)}
        watch = await traffic.watch(TO_STORE)
        assert watch.open == 3
        server.counts["ann~store"] = Traffic(140, 9000, 3, 2, unanswered=1)
        assert await watch.end() == Exposure(connections=3, connects_blocked=1, bytes=40)
        server.counts["ann~store"] = Traffic(999, 9000, 3, 2)
        assert (await watch.end()).bytes == 40

    asyncio.run(body())


def test_a_link_that_is_removed_while_it_is_watched_counts() -> None:
    async def body() -> None:
        server = Server()
        traffic = LinkTraffic(cast(ToxiproxyApi, server))
        ann = link("ann")
        traffic.add(ann)
        server.counts = {"ann~store": Traffic(0, 0, 1, 1)}
        watch, other = await traffic.watch(TO_STORE), await traffic.watch(TO_STORE.reversed())
        server.counts["ann~store"] = Traffic(70, 7, 1, 1)
        await traffic.remove([ann])
        del server.counts["ann~store"]
        assert (await watch.end()).bytes == 70
        assert (await other.end()).bytes == 7
        assert list(traffic.matching(TO_STORE)) == []

    asyncio.run(body())
