"""Section 2.5: populate and reset."""

from __future__ import annotations

from typing import Any

import pytest

from tests.toxiproxy.support import (
    connected,
    connects,
    echo,
    eventually,
    free_port,
    now,
    on_loop,
    serving,
    talk,
    through,
    upstream,
)


def entry(name: str, listen: str = "127.0.0.1:0", to: str = "x:1", **more: Any) -> dict[str, Any]:
    return {"name": name, "listen": listen, "upstream": to, **more}


@on_loop
async def test_it_creates_and_answers_with_what_it_made() -> None:
    async with serving() as api:
        answer = await api.call(
            "POST", "/populate", [entry("b"), entry("a", enabled=False), entry("c", enabled=None)]
        )
        assert answer.status == 201
        assert [(made["name"], made["enabled"]) for made in answer.json["proxies"]] == [
            ("b", True), ("a", False), ("c", True),
        ]  # fmt: skip
        assert answer.json["proxies"][0] == (await api.call("GET", "/proxies/b")).json
        for nothing in (b"null", b"[]"):
            assert (await api.call("POST", "/populate", raw=nothing)).body == b'{"proxies":null}'


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({}, "missing required field: name at proxy 2"),
        ({"name": "b"}, "missing required field: upstream at proxy 2"),
        ({"name": "b", "upstream": "x:1", "toxics": [{"type": "wrong"}]},
         "bad request body: toxic 1 at proxy 2: invalid toxic type"),
        ({"name": "b", "upstream": "x:1", "toxics": [{"type": "slicer"}]},
         "bad request body: toxic 1 at proxy 2: slicer.average_size must be from 1 to 1099511627776, not 0"),
        ({"name": "b", "upstream": "x:1", "toxics": [{"type": "noop"}, {"type": "noop"}]},
         "toxic already exists: twice the same name at proxy 2"),
    ],
)  # fmt: skip
@on_loop
async def test_nothing_is_created_when_one_is_wrong(bad: dict[str, object], error: str) -> None:
    async with serving() as api:
        answer = await api.call("POST", "/populate", [entry("a"), bad])
        assert answer.json["error"] == error
        assert answer.json["proxies"] is None
        assert (await api.call("GET", "/proxies")).json == {}


@on_loop
async def test_it_stops_at_the_first_that_cannot_listen_and_keeps_the_earlier() -> None:
    async with serving() as api:
        taken = (await api.proxy("x:1", name="taken")).json["listen"]
        answer = await api.call("POST", "/populate", [entry("a"), entry("b", taken), entry("c")])
        assert answer.status == answer.json["status"] == 500
        assert answer.json["error"] == f"listen tcp {taken}: bind: address already in use"
        assert list(answer.json) == ["error", "status", "proxies"]
        assert [made["name"] for made in answer.json["proxies"]] == ["a"]
        assert list((await api.call("GET", "/proxies")).json) == ["a", "taken"]


@on_loop
async def test_the_same_proxy_is_left_alone_whatever_enabled_says() -> None:
    async with serving() as api, through(api) as streams:
        await api.toxic("noop")
        before = (await api.call("GET", "/proxies/p")).json
        by_name = before["listen"].replace("127.0.0.1", "localhost")
        for listen in (before["listen"], by_name):
            again = entry("p", listen, before["upstream"], enabled=False, toxics=[])
            answer = await api.call("POST", "/populate", [again])
            assert answer.json == {"proxies": [before]}
        assert await talk(streams) == b"hello"


@on_loop
async def test_a_different_proxy_replaces_the_old_one_and_its_toxics() -> None:
    async with serving() as api, through(api) as (reader, _), upstream(echo) as other:
        await api.toxic("noop")
        listen = (await api.call("GET", "/proxies/p")).json["listen"]
        made = (await api.call("POST", "/populate", [entry("p", listen, other)])).json["proxies"][0]
        assert (made["toxics"], made["upstream"], made["listen"]) == ([], other, listen)
        assert await reader.read() == b""
        async with connected(listen) as streams:
            assert await talk(streams) == b"hello"


@on_loop
async def test_when_the_replacement_cannot_listen_the_old_one_stays_disabled() -> None:
    async with serving() as api:
        taken = (await api.proxy("x:1", name="q")).json["listen"]
        old = (await api.proxy("x:1")).json
        await api.toxic("noop")
        assert (await api.call("POST", "/populate", [entry("p", taken)])).status == 500
        left = (await api.call("GET", "/proxies/p")).json
        assert (left["enabled"], left["listen"], len(left["toxics"])) == (False, old["listen"], 1)


@on_loop
async def test_toxics_are_honoured_and_kept_when_they_are_the_same() -> None:
    async with serving() as api, upstream(echo) as address:
        slow = {"type": "latency", "attributes": {"latency": 40}}
        listen = f"127.0.0.1:{free_port()}"
        body = [entry("p", listen, address, toxics=[slow])]
        made = (await api.call("POST", "/populate", body)).json["proxies"][0]
        assert made["toxics"][0]["attributes"]["latency"] == 40
        async with connected(listen) as streams:
            start_s = now()
            await talk(streams)
            assert now() - start_s >= 0.04
            # The same again changes nothing; another list is made so, on the connections that are open.
            assert (await api.call("POST", "/populate", body)).json["proxies"][0] == made
            body[0]["toxics"] = [{**slow, "attributes": {"latency": 1}}, {"type": "noop", "expires_in_s": 60}]
            changed = (await api.call("POST", "/populate", body)).json["proxies"][0]["toxics"]
            assert [toxic["name"] for toxic in changed] == ["latency_downstream", "noop_downstream"]
            assert changed[0]["attributes"]["latency"] == 1
            assert 59 < changed[1]["expires_in_s"] <= 60
            assert await talk(streams) == b"hello"


@on_loop
async def test_reset_enables_removes_toxics_and_keeps_the_rest() -> None:
    async with serving() as api, through(api) as streams:
        await api.toxic("latency", latency=5)
        off = (await api.proxy("x:1", name="q", enabled=False)).json
        assert (await api.call("POST", "/reset", raw=b"whatever")).status == 204
        shown = (await api.call("GET", "/proxies")).json
        assert [(proxy["enabled"], proxy["toxics"]) for proxy in shown.values()] == [(True, []), (True, [])]
        assert shown["q"]["upstream"] == off["upstream"]
        assert connects(shown["q"]["listen"])
        assert await talk(streams) == b"hello"  # a connection under latency survives


@on_loop
async def test_reset_closes_connections_under_a_timeout() -> None:
    async with serving() as api, through(api) as (reader, writer):
        await api.toxic("timeout")
        writer.write(b"hello")
        await eventually(lambda: api.server.statistics.connections == 1)
        await api.call("POST", "/reset")
        assert await reader.read() == b""


@on_loop
async def test_reset_stops_at_a_proxy_that_cannot_listen() -> None:
    async with serving() as api:
        taken = (await api.proxy("x:1", name="q")).json["listen"]
        await api.proxy("x:1", listen=taken, enabled=False)
        answer = await api.call("POST", "/reset")
        assert (answer.status, answer.json["error"]) == (
            500,
            f"listen tcp {taken}: bind: address already in use",
        )
