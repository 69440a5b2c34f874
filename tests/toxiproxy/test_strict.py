"""`strict`: the server is as any other Toxiproxy server. What is ours alone is not there, or ignored."""

from __future__ import annotations

import asyncio
import re
import urllib.request

import pytest

from tests.toxiproxy.process import serving as process
from tests.toxiproxy.support import (
    connected,
    echo,
    eventually,
    now,
    on_loop,
    serving,
    talk,
    through,
    upstream,
)


@pytest.mark.parametrize("path", ["/connections", "/proxies/p/connections", "/proxies/p/connections/reset"])
@on_loop
async def test_our_routes_are_not_there(path: str) -> None:
    async with serving(strict=True) as api:
        await api.proxy("x:1")
        for method in ("GET", "POST"):
            answer = await api.call(method, path)
            assert (answer.status, answer.body) == (404, b"404 page not found\n")


@on_loop
async def test_our_keys_are_ignored() -> None:
    async with serving(strict=True) as api, upstream(echo) as address:
        made = await api.proxy(address, accepting=False, toxics=[{"type": "noop"}])
        assert made.json["toxics"] == []
        assert "accepting" not in made.json
        toxic = {
            "type": "latency", "EXPIRES_IN_S": 0.01,
            "attributes": {"latency": 1, "latency_us": 5_000_000, "Jitter_US": 7},
        }  # fmt: skip
        added = (await api.call("POST", "/proxies/p/toxics", toxic)).json
        assert added["attributes"] == {"latency": 1, "jitter": 0}
        assert "expires_in_s" not in added
        wide = {"type": "bandwidth", "attributes": {"rate": 1000, "group": 5}}
        assert (await api.call("POST", "/proxies/p/toxics", wide)).json["attributes"] == {"rate": 1000}
        await api.call("PATCH", "/proxies/p", {"accepting": False})
        await api.call(
            "PATCH", "/proxies/p/toxics/latency_downstream", {"attributes": {"latency_us": 5_000_000}}
        )
        start_s = now()
        async with connected(made.json["listen"]) as streams:
            assert await talk(streams) == b"hello"
        assert now() - start_s < 1
        await asyncio.sleep(0.02)
        assert len((await api.call("GET", "/proxies/p/toxics")).json) == 2
        listed = [{"name": "q", "listen": "127.0.0.1:0", "upstream": address, "toxics": [{"type": "noop"}]}]
        (populated,) = (await api.call("POST", "/populate", listed)).json["proxies"]
        assert populated["toxics"] == []
        assert (
            await api.server.populate(b'[{"name": "r", "upstream": "x:1", "toxics": [{"type": "noop"}]}]')
            == 1
        )
        assert (await api.call("GET", "/proxies/r")).json["toxics"] == []


@on_loop
async def test_it_looks_like_toxiproxy() -> None:
    async with serving(strict=True) as api:
        assert (await api.call("GET", "/version")).body == b'{"version": "2.12.0"}\n'
        assert (await api.proxy("x:1")).json["Logger"] == {}


@on_loop
async def test_half_an_end_closes_everything() -> None:
    async with serving(strict=True) as api, through(api) as (reader, writer):
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.write_eof()
        assert await reader.read() == b""
        await eventually(lambda: api.server.statistics.connections == 0)


@on_loop
async def test_bytes_are_counted_when_the_connection_has_ended() -> None:
    async def received() -> list[str]:
        text = (await api.call("GET", "/metrics")).body.decode()
        assert "connections" not in text
        return re.findall(
            r'^toxiproxy_proxy_received_bytes_total{direction="upstream".*} (\S+)$', text, re.MULTILINE
        )

    async with serving(strict=True, proxy_metrics=True) as api, through(api) as streams:
        assert await talk(streams) == b"hello"
        assert await received() == ["0.0"]
        streams[1].close()
        await eventually(lambda: api.server.statistics.connections == 0)
        assert await received() == ["5.0"]


@on_loop
async def test_only_a_connection_that_began_with_reset_peer_is_reset() -> None:
    async with serving(strict=True) as api, upstream(echo) as address:
        listen = (await api.proxy(address)).json["listen"]
        async with connected(listen) as (reader, writer):
            assert await talk((reader, writer)) == b"hello"
            await api.toxic("reset_peer", "upstream")
            writer.write(b"hello")
            assert await reader.read() == b""
        async with connected(listen) as (reader, writer):
            writer.write(b"hello")
            with pytest.raises(ConnectionResetError):
                await reader.read()


def test_the_command_has_it() -> None:
    with (
        process("serve", "-host", "127.0.0.1", "-port", "0", "-strict") as (_, url),
        urllib.request.urlopen(url + "/version") as answer,
    ):
        assert answer.read() == b'{"version": "2.12.0"}\n'
