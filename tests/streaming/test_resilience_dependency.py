"""Calls through all guards, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from harness.system import Host, Node
from systems.streaming.resilience.breaker import BreakerPolicy
from systems.streaming.resilience.deadline import HEADER, Deadline
from systems.streaming.resilience.dependency import Dependency, Guards, Unavailable
from tests.streaming.service_world import events, viewer
from tests.support.local_host import LocalWorld

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def serving(handler: Handler) -> LocalWorld:
    async def service(host: Host) -> None:
        app = web.Application()
        app.router.add_get("/{tail:.*}", handler)
        await host.serve(app)

    return LocalWorld((Node("dep-1", "dep", "zone", service),))


class Flaky:
    """Fails the first `failures` requests."""

    def __init__(self, failures: int) -> None:
        self.failures, self.asked = failures, 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        if self.asked > self.failures:
            return web.json_response({"ok": True})
        return web.json_response({"error": "the disk is full"}, status=500)


async def test_a_4xx_is_an_answer_and_a_5xx_is_not() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"error": "because"}, status=int(request.path[1:]))

    async with serving(handler) as world:
        dep = Dependency(viewer(world), "dep", Guards())
        never = Deadline.never(world.clock)
        assert (await dep.request("/404", never)).status == 404
        with pytest.raises(Unavailable, match=r"dep: HTTP 503 \(because\)"):
            await dep.request("/503", never)


async def test_a_fast_failure_is_retried_once_when_asked_for() -> None:
    flaky = Flaky(1)
    async with serving(flaky.handle) as world:
        dep = Dependency(viewer(world), "dep", Guards(retry=True))
        assert (await dep.request("/", Deadline.never(world.clock))).status == 200
        assert flaky.asked == 2
    flaky = Flaky(1)
    async with serving(flaky.handle) as world:
        with pytest.raises(Unavailable):
            await Dependency(viewer(world), "dep", Guards()).request("/", Deadline.never(world.clock))
        assert flaky.asked == 1


async def test_retries_stay_within_their_budget() -> None:
    flaky = Flaky(10_000)
    async with serving(flaky.handle) as world:
        dep = Dependency(viewer(world), "dep", Guards(retry=True, breaker=None))
        for _ in range(100):
            with pytest.raises(Unavailable):
                await dep.request("/", Deadline.never(world.clock))
        assert 103 <= flaky.asked <= 113


async def test_what_is_left_of_the_deadline_is_sent_along_and_enforced() -> None:
    seen: list[str] = []
    release = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.headers[HEADER])
        await release.wait()
        return web.Response()

    async with serving(handler) as world:
        dep = Dependency(viewer(world), "dep", Guards(budget_s=5.0))
        with pytest.raises(Unavailable, match="in time"):
            await dep.request("/", Deadline.after(world.clock, 0.1))
        assert 0 < int(seen[0]) <= 100
        release.set()


async def test_the_bulkhead_refuses_and_the_breaker_reports() -> None:
    release = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        await release.wait()
        return web.Response(status=500)

    async with serving(handler) as world:
        policy = BreakerPolicy(volume=3)
        dep = Dependency(viewer(world), "dep", Guards(limit=3, breaker=policy))
        calls = [asyncio.create_task(dep.request("/", Deadline.never(world.clock))) for _ in range(4)]
        done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        assert [str(task.exception()) for task in done] == [
            "dep: bulkhead 'dep' is full: 3 calls are in flight"
        ]
        release.set()
        await asyncio.gather(*calls, return_exceptions=True)
        assert events(world, "breaker.state") == [{"dependency": "dep", "state": "open"}]
        with pytest.raises(Unavailable, match="circuit breaker 'dep' is open"):
            await dep.request("/", Deadline.never(world.clock))


async def test_nobody_there() -> None:
    async with serving(Flaky(0).handle) as world:
        await world.stop("dep-1")
        with pytest.raises(Unavailable, match="dep: "):
            await Dependency(viewer(world), "dep", Guards()).request("/", Deadline.never(world.clock))
