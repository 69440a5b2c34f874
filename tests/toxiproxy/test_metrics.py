"""Section 2.6, metrics: bytes of every proxy, live, and the process; only when asked for."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.toxiproxy.support import (
    Api,
    connected,
    echo,
    eventually,
    on_loop,
    serving,
    talk,
    through,
    upstream,
)


async def samples(api: Api) -> dict[str, float]:
    answer = await api.call("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = re.findall(r"^(\w+(?:\{.*\})?) (\S+)$", answer.body.decode(), re.MULTILINE)
    return {name: float(value) for name, value in found}


@on_loop
async def test_without_a_flag_there_are_none() -> None:
    async with serving() as api:
        assert (await api.call("GET", "/metrics")).body == b"404 page not found\n"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@on_loop
async def test_any_method_will_do(method: str) -> None:
    async with serving(proxy_metrics=True) as api:
        assert (await api.call(method, "/metrics")).status == 200


@on_loop
async def test_bytes_are_counted_while_they_pass_by_direction() -> None:
    async def half(reader: object, writer: object) -> None:
        await echo(reader, writer)  # type: ignore[arg-type]

    async with serving(proxy_metrics=True) as api, upstream(half) as address:
        listen = (await api.proxy(address)).json["listen"]
        labels = f'listener="{listen}",proxy="p",upstream="{address}"'

        def name(metric: str, direction: str) -> str:
            return f'toxiproxy_proxy_{metric}_bytes_total{{direction="{direction}",{labels}}}'

        async with connected(listen) as streams:
            await talk(streams, b"x" * 500)
            now = await samples(api)  # the connection is still open
            for metric in ("received", "sent"):
                for direction in ("upstream", "downstream"):
                    assert now[name(metric, direction)] == 500
            assert now[f"toxiproxy_proxy_connections_open{{{labels}}}"] == 1
            await api.toxic("timeout")
            streams[1].write(b"y" * 20)
            while (await samples(api))[name("received", "downstream")] < 520:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        await eventually(lambda: api.server.statistics.connections == 0)
        now = await samples(api)
        assert now[name("sent", "upstream")] == 520
        assert now[name("received", "downstream")] == 520
        assert now[name("sent", "downstream")] == 500  # what was swallowed was not sent
        assert now[f"toxiproxy_proxy_connections_accepted_total{{{labels}}}"] == 1
        assert now[f"toxiproxy_proxy_connections_open{{{labels}}}"] == 0


@on_loop
async def test_megabytes_that_are_spliced_are_counted_too() -> None:
    async with serving(proxy_metrics=True) as api, through(api) as (reader, writer):
        writer.write(bytes(5_000_000))
        await reader.readexactly(5_000_000)
        values = [value for name, value in (await samples(api)).items() if "_bytes_total" in name]
        assert values == [5_000_000] * 4


@on_loop
async def test_names_with_quotes_are_escaped() -> None:
    async with serving(proxy_metrics=True) as api, upstream(echo) as address:
        listen = (await api.proxy(address, name='a"b\\c\nd')).json["listen"]
        async with connected(listen) as streams:
            await talk(streams)
        assert b'proxy="a\\"b\\\\c\\nd"' in (await api.call("GET", "/metrics")).body


@on_loop
async def test_the_process_is_shown_when_asked_for() -> None:
    async with serving(runtime_metrics=True) as api, through(api) as streams:
        await talk(streams)
        names = await samples(api)
        assert names["process_open_fds"] > 3
        assert not any(name.startswith("toxiproxy_") for name in names)
