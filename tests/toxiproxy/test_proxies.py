"""Section 2.3: what a proxy is, created, changed, disabled, deleted."""

from __future__ import annotations

import asyncio

import pytest

from tests.toxiproxy.support import (
    connected,
    connects,
    echo,
    free_port,
    on_loop,
    serving,
    talk,
    through,
    upstream,
)


@on_loop
async def test_listen_becomes_the_real_address() -> None:
    async with serving() as api:
        port = free_port()
        answer = await api.proxy("x:1", listen=f"localhost:{port}")
        assert answer.json == {
            "name": "p", "listen": f"127.0.0.1:{port}", "upstream": "x:1", "enabled": True, "toxics": [],
        }  # fmt: skip
        picked = (await api.proxy("x:1", name="q")).json["listen"]
        assert picked.startswith("127.0.0.1:")
        assert not picked.endswith(":0")
        for number, listen in enumerate(("", f":{free_port()}", f"0.0.0.0:{free_port()}")):
            anywhere = (await api.proxy("x:1", name=f"any{number}", listen=listen)).json["listen"]
            assert anywhere.startswith("[::]:")
            assert connects("127.0.0.1:" + anywhere.rsplit(":", 1)[1])


@on_loop
async def test_a_disabled_proxy_keeps_its_text_and_listens_when_enabled() -> None:
    async with serving() as api:
        listen = f"localhost:{free_port()}"
        answer = await api.proxy("x:1", listen=listen, enabled=False)
        assert (answer.json["listen"], answer.json["enabled"]) == (listen, False)
        assert not connects(listen)
        enabled = (await api.call("PATCH", "/proxies/p", {"enabled": True})).json
        assert (enabled["listen"], enabled["enabled"]) == (listen.replace("localhost", "127.0.0.1"), True)
        assert connects(listen)


@pytest.mark.parametrize(
    ("listen", "error"),
    [
        ("bad", "listen tcp: address bad: missing port in address"),
        ("a:b:c", "listen tcp: address a:b:c: too many colons in address"),
        ("127.0.0.1:70000", "listen tcp: address 70000: invalid port"),
        ("[::1", "listen tcp: address [::1: missing ']' in address"),
        ("203.0.113.1:0", "listen tcp 203.0.113.1:0: bind: cannot assign requested address"),
    ],
)
@on_loop
async def test_where_it_cannot_listen(listen: str, error: str) -> None:
    async with serving() as api:
        answer = await api.call("POST", "/proxies", {"name": "p", "upstream": "x:1", "listen": listen})
        assert (answer.status, answer.json["error"]) == (500, error)
        assert (await api.call("GET", "/proxies")).json == {}


@on_loop
async def test_a_taken_port_and_a_taken_name() -> None:
    async with serving() as api:
        listen = (await api.proxy("x:1")).json["listen"]
        taken = await api.call("POST", "/proxies", {"name": "q", "upstream": "x:1", "listen": listen})
        assert taken.status == 500
        assert taken.json["error"] == f"listen tcp {listen}: bind: address already in use"
        same = await api.call("POST", "/proxies", {"name": "p", "upstream": "y:1", "listen": "bad"})
        assert (same.status, same.json["error"]) == (409, "proxy already exists")
        assert list((await api.call("GET", "/proxies")).json) == ["p"]


@pytest.mark.parametrize("name", ["x/y", "/", ".", ".."])
@on_loop
async def test_a_name_that_could_never_be_addressed_is_refused(name: str) -> None:
    async with serving() as api:
        for path, body in (
            ("/proxies", {"name": name, "upstream": "x:1"}),
            ("/populate", [{"name": name, "upstream": "x:1"}]),
        ):
            answer = await api.call("POST", path, body)
            assert answer.status == 400
            assert "cannot be addressed" in answer.json["error"]
        assert (await api.call("GET", "/proxies")).json == {}


@on_loop
async def test_the_upstream_is_not_looked_at_before_it_is_needed() -> None:
    async with serving() as api:
        await api.proxy("no such host at all")
        changed = await api.call("PATCH", "/proxies/p", {"upstream": ""})
        assert (changed.status, changed.json["upstream"]) == (200, "")


@on_loop
async def test_an_update_that_changes_nothing_keeps_connections_and_ignores_the_name() -> None:
    async with serving() as api, through(api) as streams:
        before = (await api.call("GET", "/proxies/p")).json
        host_name = before["listen"].replace("127.0.0.1", "localhost")
        for body in (
            {}, None, {"name": "other"}, {"enabled": True}, {"listen": None, "upstream": before["upstream"]},
            {"listen": before["listen"]}, {"listen": host_name},
        ):  # fmt: skip
            raw = b"null" if body is None else None
            assert (await api.call("PATCH", "/proxies/p", body, raw=raw)).json == before
        assert await talk(streams) == b"hello"


@on_loop
async def test_another_upstream_drops_connections_and_keeps_toxics() -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data.upper())

    async with serving() as api, upstream(shout) as other, through(api) as (reader, _):
        await api.toxic("noop")
        changed = (await api.call("PATCH", "/proxies/p", {"upstream": other})).json
        assert await reader.read() == b""
        assert [toxic["name"] for toxic in changed["toxics"]] == ["noop_downstream"]
        async with connected(changed["listen"]) as streams:
            streams[1].write(b"hello")
            assert await streams[0].readexactly(5) == b"HELLO"


@on_loop
async def test_another_listen_moves_the_proxy() -> None:
    async with serving() as api, upstream(echo) as address:
        old = (await api.proxy(address)).json["listen"]
        new = f"127.0.0.1:{free_port()}"
        assert (await api.call("POST", "/proxies/p", {"listen": new})).json["listen"] == new
        assert not connects(old)
        async with connected(new) as streams:
            assert await talk(streams) == b"hello"
        # An any-address is shown as [::]: given as 0.0.0.0 it is always another one.
        await api.call("PATCH", "/proxies/p", {"listen": f"0.0.0.0:{free_port()}"})
        shown = (await api.call("GET", "/proxies/p")).json["listen"]
        async with connected(shown.replace("[::]", "127.0.0.1")) as (reader, _):
            await api.call("PATCH", "/proxies/p", {"listen": shown.replace("[::]", "0.0.0.0")})
            assert await reader.read() == b""


@on_loop
async def test_a_restart_that_fails_leaves_it_disabled_with_the_new_address() -> None:
    async with serving() as api:
        taken = (await api.proxy("x:1", name="q")).json["listen"]
        old = (await api.proxy("x:1")).json["listen"]
        answer = await api.call("PATCH", "/proxies/p", {"listen": taken})
        assert (answer.status, answer.json["error"]) == (
            500,
            f"listen tcp {taken}: bind: address already in use",
        )
        shown = (await api.call("GET", "/proxies/p")).json
        assert (shown["enabled"], shown["listen"]) == (False, taken)
        assert not connects(old)
        bad = await api.call("PATCH", "/proxies/p", {"listen": "bad"})
        assert (bad.status, bad.json["error"]) == (500, "address bad: missing port in address")


@on_loop
async def test_disabling_refuses_closes_cleanly_and_returns_to_the_same_port() -> None:
    async with serving() as api, through(api) as streams:
        assert await talk(streams) == b"hello"
        await api.toxic("noop")
        off = (await api.call("PATCH", "/proxies/p", {"enabled": False})).json
        assert off["enabled"] is False
        assert not connects(off["listen"])
        assert await streams[0].read() == b""
        on = (await api.call("PATCH", "/proxies/p", {"enabled": True})).json
        assert (on["listen"], on["enabled"], len(on["toxics"])) == (off["listen"], True, 1)
        async with connected(on["listen"]) as again:
            assert await talk(again) == b"hello"


@on_loop
async def test_deleting_closes_and_forgets() -> None:
    async with serving() as api, through(api) as (reader, _):
        await api.toxic("noop")
        listen = (await api.call("GET", "/proxies/p")).json["listen"]
        assert (await api.call("DELETE", "/proxies/p")).status == 204
        assert await reader.read() == b""
        assert not connects(listen)
        assert (await api.proxy("x:1", listen=listen)).json["toxics"] == []


@on_loop
async def test_enabling_and_disabling_many_times() -> None:
    async with serving() as api, upstream(echo) as address:
        listen = (await api.proxy(address)).json["listen"]
        for _ in range(50):
            await api.call("PATCH", "/proxies/p", {"enabled": False})
            await api.call("PATCH", "/proxies/p", {"enabled": False})
            await api.call("PATCH", "/proxies/p", {"enabled": True})
        async with connected(listen) as streams:
            assert await talk(streams) == b"hello"


@on_loop
async def test_proxies_are_listed_by_name() -> None:
    async with serving() as api:
        for name in ("b", "c", "a"):
            await api.proxy("x:1", name=name)
        assert list((await api.call("GET", "/proxies")).json) == ["a", "b", "c"]
        assert api.server.statistics.proxies == 3
