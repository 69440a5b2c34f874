"""Any client library reaches the nodes of a live run, through their links; any asyncio server is a node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx
import pytest
import redis.asyncio as redis

from harness.faults.primitives import EndpointMatch, LinkShape, PathMatch
from harness.live.runtime import LiveRuntime
from harness.runtime.contract import RunSettings, Session
from harness.system import Access, Client, Host
from tests.compat.shop import Done, system

pytestmark = pytest.mark.live


def visit[T](body: Callable[[Host, Session], Awaitable[T]]) -> T:
    async def run(session: Session) -> T:
        me = Client("me", "dc", "fast", Access(down_bps=100e6, up_bps=20e6, rtt_s=0.01))
        async with session.client(me, "shopper") as host:
            return await body(host, session)

    return LiveRuntime().run(RunSettings(system, 1, frozenset(), "tests.compat.shop:system"), run)


def test_unmodified_libraries_resolve_names_and_pass_through_links() -> None:
    async def body(host: Host, session: Session) -> None:
        async with httpx.AsyncClient(verify=False, timeout=5) as http:
            answer = (await http.get("http://api/products/3")).json()
            assert answer == {"source": "catalog", "started": ["yes"], "id": 3, "cached": False}
            assert (await http.get("http://api/products/3")).json()["cached"] is True
        async with host.http("api").get("/products/3") as same:
            assert same.status == 200
        cache = redis.Redis(host="redis", port=6379, protocol=2)
        assert await cache.get("item:3") == b"thing 3"
        ip, port = await host.address("redis", 6379)
        other = redis.Redis(host=ip, port=port, protocol=2)
        assert await other.get("item:3") == b"thing 3"
        start_s = host.clock.now()
        slow = await session.primitives.shape(
            PathMatch(EndpointMatch(everything=True), EndpointMatch(nodes=frozenset({"redis-1"}))),
            LinkShape(latency_s=0.3),
        )
        await cache.get("item:3")
        assert host.clock.now() - start_s > 0.3
        await slow.undo()
        await cache.aclose()
        await other.aclose()
        await session.settle()
        assert [record.row.order for record in session.records if isinstance(record.row, Done)] == ["3"]
        assert session.failures == []

    visit(body)
