"""Calls through all guards, over real sockets."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from harness.system import Host, Node
from systems.streaming.resilience.breaker import BreakerPolicy
from systems.streaming.resilience.deadline import HEADER, Deadline
from systems.streaming.resilience.dependency import Answer, Dependency, Guards, Unavailable
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


class Counted:
    """Two nodes of one role, and who is asked how often. A node of `failing` answers with an error."""

    def __init__(
        self, zones: tuple[str, ...] = ("zone", "zone"), failing: frozenset[str] = frozenset()
    ) -> None:
        self.asked: Counter[str] = Counter()
        self._failing = failing
        self.world = LocalWorld(
            tuple(Node(f"dep-{number}", "dep", zone, self._service) for number, zone in enumerate(zones, 1))
        )

    async def _service(self, host: Host) -> None:
        async def answer(request: web.Request) -> web.Response:
            self.asked[host.name] += 1
            return web.json_response({}, status=500 if host.name in self._failing else 200)

        app = web.Application()
        app.router.add_get("/{tail:.*}", answer)
        await host.serve(app)


async def statuses(dep: Dependency, world: LocalWorld, count: int) -> Counter[bool]:
    """How many calls had a useful answer."""
    found: Counter[bool] = Counter()
    for _ in range(count):
        try:
            await dep.request("/", Deadline.never(world.clock))
            found[True] += 1
        except Unavailable:
            found[False] += 1
    return found


async def test_the_load_is_spread_over_the_nodes_of_a_role() -> None:
    counted = Counted(("zone", "zone", "zone"))
    async with counted.world as world:
        await statuses(Dependency(viewer(world), "dep", Guards()), world, 90)
    assert max(counted.asked.values()) <= 1.3 * min(counted.asked.values())
    assert len(counted.asked) == 3


async def test_nodes_of_the_own_zone_are_asked_first() -> None:
    counted = Counted(("isp-a", "elsewhere"))
    async with counted.world as world:
        await statuses(Dependency(viewer(world, isp="isp-a"), "dep", Guards()), world, 20)
    assert counted.asked == {"dep-1": 20}


@pytest.mark.parametrize("zones", [("zone", "zone"), ("isp-a", "elsewhere")])
async def test_one_failing_node_does_not_take_its_role(zones: tuple[str, ...]) -> None:
    counted = Counted(zones, failing=frozenset({"dep-1"}))
    async with counted.world as world:
        dep = Dependency(viewer(world, isp="isp-a"), "dep", Guards())
        found = await statuses(dep, world, 100)
        assert events(world, "dependency.ejected") == [{"dependency": "dep", "node": "dep-1"}]
        assert events(world, "breaker.state") == []
    assert found[False] == 5
    assert counted.asked["dep-1"] == 5


async def test_when_all_nodes_fail_none_is_left_out() -> None:
    counted = Counted(failing=frozenset({"dep-1", "dep-2"}))
    async with counted.world as world:
        await statuses(Dependency(viewer(world), "dep", Guards(breaker=None)), world, 40)
    assert counted.asked == {"dep-1": 20, "dep-2": 20}


async def test_a_node_that_takes_no_connection_costs_no_answer() -> None:
    counted = Counted()
    async with counted.world as world:
        await world.stop("dep-1")
        assert await statuses(Dependency(viewer(world), "dep", Guards()), world, 20) == {True: 20}


async def test_the_callers_own_deadline_counts_against_nobody() -> None:
    """Of a deadline that has passed nothing is asked; one of 5 ms says nothing about a budget of a second."""

    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(0.02)
        return web.json_response({})

    async with serving(handler) as world:
        dep = Dependency(viewer(world), "dep", Guards())
        for left_s in (0.0, 0.005):
            for _ in range(25):
                with pytest.raises(Unavailable):
                    await dep.request("/", Deadline.after(world.clock, left_s))
        assert events(world, "breaker.state") == events(world, "dependency.ejected") == []
        assert (await dep.request("/", Deadline.after(world.clock, 1.0))).status == 200


async def test_a_slow_dependency_is_to_blame_when_it_had_its_budget() -> None:
    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(0.2)
        return web.json_response({})

    async with serving(handler) as world:
        dep = Dependency(viewer(world), "dep", Guards(budget_s=0.01))
        for _ in range(20):
            with pytest.raises(Unavailable):
                await dep.request("/", Deadline.after(world.clock, 1.0))
        assert {"dependency": "dep", "state": "open"} in events(world, "breaker.state")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [("<html>maintenance</html>", "text/html"), ("[1, 2]", "application/json"), ("", "application/json")],
)
async def test_an_answer_that_is_of_no_use_is_a_failure(body: str, content_type: str) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=body, content_type=content_type)

    async with serving(handler) as world:
        dep = Dependency(viewer(world), "dep", Guards())
        assert await statuses(dep, world, 20) == {False: 20}
        assert {"dependency": "dep", "state": "open"} in events(world, "breaker.state")


async def test_the_caller_decides_what_is_of_use() -> None:
    def check(answer: Answer) -> None:
        if not answer.object().get("titles"):
            raise Unavailable(answer.dependency, "no titles")

    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"titles": []})

    async with serving(handler) as world:
        dep = Dependency(viewer(world), "dep", Guards(check=check))
        assert await statuses(dep, world, 20) == {False: 20}
        assert {"dependency": "dep", "state": "open"} in events(world, "breaker.state")


async def test_who_asks_for_time_is_not_asked_again_at_once() -> None:
    asked = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({}, status=503, headers={"Retry-After": "2"})

    async with serving(handler) as world:
        dep = Dependency(viewer(world), "dep", Guards(retry=True))
        with pytest.raises(Unavailable) as caught:
            await dep.request("/", Deadline.never(world.clock))
        assert caught.value.retry_after_s == 2
    assert len(asked) == 1
