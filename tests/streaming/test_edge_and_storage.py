"""Appliances: hits, misses, coalescing, refusals."""

from __future__ import annotations

import asyncio
import dataclasses

from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from harness.system import Host, Node
from systems.streaming.content.catalogue import TITLES, segment_bytes
from systems.streaming.delivery.cache import SegmentCache
from tests.streaming.service_world import ask, events, nodes, viewer
from tests.support.local_host import LocalWorld

HOT, TAIL = TITLES[0].id, TITLES[-1].id


def edge_node(**config: int) -> Node:
    (node,) = nodes("edge-a-1")
    return dataclasses.replace(node, config={**node.config, "filled_titles": 1, **config})


async def test_a_filled_title_is_a_hit_and_a_tail_title_becomes_one() -> None:
    async with LocalWorld((edge_node(), *nodes("storage-1"))) as world:
        v = viewer(world)
        status, body, answer = await ask(v, "edge-a-1", f"/v/{HOT}/0/0")
        assert (status, len(body)) == (200, segment_bytes(HOT, 0, 0))
        assert (answer["X-Served-By"], answer["X-Cache"]) == ("edge", "hit")
        seen = [(await ask(v, "edge-a-1", f"/v/{TAIL}/1/2"))[2]["X-Cache"] for _ in range(3)]
        assert seen == ["miss", "hit", "hit"]
        status, body, answer = await ask(v, "storage-1", f"/v/{TAIL}/1/2")
        assert (status, len(body), answer["X-Served-By"]) == (200, segment_bytes(TAIL, 1, 2), "storage")


async def test_unknown_segments_are_404_everywhere() -> None:
    async with LocalWorld((edge_node(), *nodes("storage-1"))) as world:
        for node in ("edge-a-1", "storage-1"):
            for path in (
                "/v/nothing/0/0",
                f"/v/{HOT}/99/0",
                f"/v/{HOT}/0/999999",
                f"/v/{HOT}/x/0",
                f"/v/{HOT}/0/-1",
            ):
                status, body, _ = await ask(viewer(world), node, path)
                assert (status, set(body)) == (404, {"error"}), path


async def test_a_miss_fails_fast_when_storage_is_gone() -> None:
    async with LocalWorld((edge_node(), *nodes("storage-1"))) as world:
        await world.stop("storage-1")
        v = viewer(world)
        status, body, answer = await ask(v, "edge-a-1", f"/v/{TAIL}/0/0")
        assert (status, answer["Retry-After"], set(body)) == (503, "1", {"error"})
        assert (await ask(v, "edge-a-1", f"/v/{HOT}/0/0"))[0] == 200


def storage_that(hangs: asyncio.Barrier | asyncio.Event, asked: list[str]) -> Node:
    async def service(host: Host) -> None:
        async def segment(request: web.Request) -> web.Response:
            asked.append(request.path)
            await hangs.wait()
            title, rendition, number = request.path.split("/")[2:]
            return web.Response(body=bytes(segment_bytes(title, int(rendition), int(number))))

        app = web.Application()
        app.router.add_get("/{tail:.*}", segment)
        await host.serve(app)

    return Node("storage-1", "storage", "ix", service)


async def test_concurrent_misses_cost_one_fetch() -> None:
    for without, fetches in ((frozenset[str](), 1), (frozenset({"edge.coalescing"}), 8)):
        # Every fetch waits for the others: with fewer the test would hang, with more it would fail below.
        asked: list[str] = []
        storage = storage_that(asyncio.Barrier(fetches), asked)
        async with LocalWorld((edge_node(), storage), without=without) as world:
            v = viewer(world)
            waiting = [ask(v, "edge-a-1", f"/v/{TAIL}/0/0") for _ in range(8)]
            assert {status for status, _, _ in await asyncio.gather(*waiting)} == {200}
            assert len(asked) == fetches
            assert len(events(world, "edge.miss")) == fetches


async def test_a_silent_storage_tier_costs_the_miss_deadline_and_then_nothing() -> None:
    asked: list[str] = []
    never = asyncio.Event()
    async with LocalWorld((edge_node(), storage_that(never, asked))) as world:
        v = viewer(world)
        statuses = await asyncio.gather(*(ask(v, "edge-a-1", f"/v/{TAIL}/0/{n}") for n in range(6)))
        assert {status for status, _, _ in statuses} == {503}
        started_s = world.clock.now()
        assert (await ask(v, "edge-a-1", f"/v/{TAIL}/0/7"))[0] == 503
        assert world.clock.now() - started_s < 0.25, "the breaker answers without asking"
        assert len(asked) == 6
        never.set()  # lets the server shut down without waiting for its handlers


async def test_health_tells_what_it_holds_to_those_who_do_not_know() -> None:
    async with LocalWorld((edge_node(filled_titles=3),)) as world:
        status, told, _ = await ask(viewer(world), "edge-a-1", "/health")
        assert status == 200
        assert told.pop("holds") == sorted(title.id for title in TITLES[:3])
        assert (told["ok"], told["load"]) == (True, 0.0)
        _, again, _ = await ask(viewer(world), "edge-a-1", "/health", params={"known": told["version"]})
        assert again == told


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 40)), max_size=200))
def test_the_cache_never_exceeds_its_capacity_and_forgets_the_least_recent(
    requests: list[tuple[int, int]],
) -> None:
    cache = SegmentCache(frozenset({"pinned"}), capacity_bytes=100)
    recent: list[tuple[int, int]] = []  # (segment, bytes), least recently used first
    for segment, n_bytes in requests:
        key = ("tail", 0, segment)
        entry = next((e for e in recent if e[0] == segment), None)
        assert cache.has(key) == (entry is not None)
        if entry is not None:
            recent.remove(entry)
            recent.append(entry)
            continue
        cache.keep(key, n_bytes)
        recent.append((segment, n_bytes))
        while sum(size for _, size in recent) > 100:
            recent.pop(0)
        assert cache.kept_bytes == sum(size for _, size in recent) <= 100
    assert cache.has(("pinned", 0, 0))
