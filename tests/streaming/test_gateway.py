"""The front door over real sockets: what a viewer gets, with everything up and with parts of it gone."""

from __future__ import annotations

import asyncio

from aiohttp import web

from harness.system import Host, Node
from systems.streaming.control.tokens import mint
from systems.streaming.records import ServedRow
from tests.streaming.service_world import ask, events, headers, nodes, rows, viewer
from tests.support.local_host import LocalWorld

EAST = ("identity-east-1", "catalog-east-1", "recommender-east-1", "steering-east-1", "playback-east-1")
GATEWAY = "gateway-east-1"
EDGES = ("storage", "edge")


def world(*names: str, without: str = "", replace: tuple[Node, ...] = ()) -> LocalWorld:
    chosen = tuple(n for n in nodes(*names, GATEWAY, *EDGES) if n.name not in {r.name for r in replace})
    return LocalWorld((*replace, *chosen), without=frozenset(filter(None, without.split(","))))


def failing(role: str, status: int = 500) -> Node:
    async def service(host: Host) -> None:
        async def answer(request: web.Request) -> web.Response:
            return web.Response(status=status)

        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", answer)
        await host.serve(app)

    return Node(f"{role}-east-1", role, "region-east", service)


async def test_everything_up() -> None:
    async with world(*EAST) as w:
        v = viewer(w)
        status, home, _ = await ask(v, GATEWAY, "/home")
        assert (status, home["level"]) == (200, "personalised")
        assert all(row["titles"] for row in home["rows"])

        status, manifest, _ = await ask(
            v, GATEWAY, "/play", method="POST", json={"title": home["rows"][0]["titles"][0]}
        )
        assert status == 200
        assert {"http://edge-a-1", "http://edge-a-2"} <= set(manifest["urls"][:2])
        assert any("storage" in url for url in manifest["urls"])
        assert manifest["segments"] > 0
        assert manifest["bitrates_kbps"] == sorted(manifest["bitrates_kbps"])

        status, steer, _ = await ask(v, GATEWAY, "/steer", params={"title": manifest["title"]})
        assert (status, steer["urls"]) == (200, manifest["urls"])

        status, login, _ = await ask(v, GATEWAY, "/login", method="POST", json={"account": "account-9"})
        assert status == 200
        status, _, _ = await ask(
            v, GATEWAY, "/home", headers={**headers(v), "Authorization": f"Bearer {login['token']}"}
        )
        assert status == 200

        served = rows(w, ServedRow)
        assert [(r.route, r.status, r.level) for r in served][:2] == [
            ("home", 200, "personalised"),
            ("play", 200, None),
        ]
        assert all(r.latency_s >= 0 and r.network_class == "fibre" and r.node == GATEWAY for r in served)


async def test_rankings_are_personal_and_repeatable() -> None:
    async with world(*EAST) as w:
        first = await ask(viewer(w, "account-1"), GATEWAY, "/home")
        again = await ask(viewer(w, "account-1"), GATEWAY, "/home")
        other = await ask(viewer(w, "account-2"), GATEWAY, "/home")
        newcomer = await ask(viewer(w, "new-1"), GATEWAY, "/home")
        assert first[1] == again[1]
        assert len({str(page[1]["rows"]) for page in (first, other, newcomer)}) == 3


async def test_tokens_are_checked_without_the_identity_service() -> None:
    async with world("catalog-east-1", "recommender-east-1") as w:
        v = viewer(w)
        assert (await ask(v, GATEWAY, "/home"))[0] == 200
        for bad in (
            "",
            "Bearer nonsense",
            f"Bearer {mint('a', 0.0, b'other key')}",
            f"Bearer {mint('a', -9e9)}",
        ):
            status, body, _ = await ask(v, GATEWAY, "/home", headers={**headers(v), "Authorization": bad})
            assert (status, set(body)) == (401, {"error"})
        assert (await ask(v, GATEWAY, "/login", method="POST", json={"account": "a"}))[0] == 503


async def test_without_offline_tokens_the_identity_service_is_needed() -> None:
    async with world("catalog-east-1", "recommender-east-1", without="gateway.offline_tokens") as w:
        status, body, answer = await ask(viewer(w), GATEWAY, "/home")
        assert status == 503
        assert "identity" in body["error"]
        assert answer["Retry-After"]
    async with world(*EAST, without="gateway.offline_tokens") as w:
        v = viewer(w)
        assert (await ask(v, GATEWAY, "/home"))[0] == 200
        status, _, _ = await ask(v, GATEWAY, "/home", headers={**headers(v), "Authorization": "Bearer x:1:y"})
        assert status == 401


async def test_the_levels_of_a_home_page() -> None:
    async with world(*EAST) as w:
        v = viewer(w)
        _, fresh, _ = await ask(v, GATEWAY, "/home")
        await w.stop("recommender-east-1")
        _, cached, _ = await ask(v, GATEWAY, "/home")
        _, popular, _ = await ask(viewer(w, "account-2"), GATEWAY, "/home")
        assert (fresh["level"], cached["level"], popular["level"]) == ("personalised", "cached", "popular")
        assert cached["rows"] == fresh["rows"]
        assert [e["level"] for e in events(w, "gateway.fallback")] == ["cached", "popular"]


async def test_static_rows_when_there_is_no_catalogue_either() -> None:
    async with world("identity-east-1") as w:
        status, home, _ = await ask(viewer(w), GATEWAY, "/home")
        assert (status, home["level"]) == (200, "static")
        assert home["rows"][0]["titles"]


async def test_without_fallback_a_failing_recommender_is_an_error() -> None:
    async with world(*EAST, without="gateway.fallback", replace=(failing("recommender"),)) as w:
        assert (await ask(viewer(w), GATEWAY, "/home"))[0] == 503


async def test_the_breaker_stops_asking_a_failing_recommender() -> None:
    async with world(*EAST, replace=(failing("recommender"),)) as w:
        v = viewer(w)
        for _ in range(25):
            status, home, _ = await ask(v, GATEWAY, "/home")
            assert (status, home["level"]) == (200, "popular")
        assert {"dependency": "recommender", "state": "open"} in events(w, "breaker.state")
    async with world(*EAST, without="gateway.breaker", replace=(failing("recommender"),)) as w:
        for _ in range(25):
            await ask(viewer(w), GATEWAY, "/home")
        assert events(w, "breaker.state") == []


async def test_a_slow_recommender_costs_its_deadline_and_no_more() -> None:
    async def slow(host: Host) -> None:
        async def answer(request: web.Request) -> web.Response:
            await host.clock.sleep(0.5)
            return web.json_response({"titles": ["t1"]})

        app = web.Application()
        app.router.add_get("/rank", answer)
        await host.serve(app)

    node = Node("recommender-east-1", "recommender", "region-east", slow)
    async with world(*EAST, replace=(node,)) as w:
        _, home, _ = await ask(viewer(w), GATEWAY, "/home")
        assert home["level"] == "popular"
        assert 0.04 <= rows(w, ServedRow)[0].latency_s < 0.4
    async with world(*EAST, without="gateway.deadline", replace=(node,)) as w:
        _, home, _ = await ask(viewer(w), GATEWAY, "/home")
        assert home["level"] == "personalised"
        assert rows(w, ServedRow)[0].latency_s >= 0.5


async def test_starts_survive_the_catalogue_and_steering() -> None:
    async with world(*EAST) as w:
        v = viewer(w)
        _, before, _ = await ask(v, GATEWAY, "/play", method="POST", json={"title": await some_title(v)})
        await w.stop("catalog-east-1")
        await w.stop("steering-east-1")
        status, after, _ = await ask(v, GATEWAY, "/play", method="POST", json={"title": before["title"]})
        assert (status, after) == (200, before)
        status, unseen, _ = await ask(
            v, GATEWAY, "/play", method="POST", json={"title": await some_title(v, -1)}
        )
        assert status == 200
        assert len(unseen["urls"]) >= 3
        assert (await ask(v, GATEWAY, "/steer", params={"title": before["title"]}))[0] == 503


async def test_without_their_caches_starts_need_the_catalogue_and_steering() -> None:
    for down, safeguard in (("catalog", "playback.catalog_cache"), ("steering", "playback.steering_cache")):
        async with world(*EAST, without=safeguard) as w:
            v = viewer(w)
            title = await some_title(v)
            assert (await ask(v, GATEWAY, "/play", method="POST", json={"title": title}))[0] == 200
            await w.stop(f"{down}-east-1")
            status, body, _ = await ask(v, GATEWAY, "/play", method="POST", json={"title": title})
            assert (status, down in body["error"]) == (503, True)


async def test_wrong_requests_are_answered_not_crashed() -> None:
    async with world(*EAST) as w:
        v = viewer(w)
        assert (await ask(v, GATEWAY, "/play", method="POST", json={"title": "no-such-title"}))[0] == 404
        assert (await ask(v, GATEWAY, "/play", method="POST", data=b"{"))[0] == 400
        assert (await ask(v, GATEWAY, "/play", method="POST", json=["title"]))[0] == 400
        assert (await ask(v, GATEWAY, "/steer"))[0] == 400
        assert (await ask(v, GATEWAY, "/nowhere"))[0] == 404
        assert {status for status, _, _ in [await ask(v, GATEWAY, "/health")]} == {200}


async def test_many_homes_at_once() -> None:
    async with world(*EAST) as w:
        v = viewer(w)
        answers = await asyncio.gather(*(ask(v, GATEWAY, "/home") for _ in range(40)))
        assert {status for status, _, _ in answers} == {200}


async def some_title(v: object, index: int = 0) -> str:
    from systems.streaming.content.catalogue import TITLES

    return TITLES[index].id
