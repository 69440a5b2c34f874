"""`bandwidth` with a `group`: one line for all connections of the group, shared fairly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.toxiproxy.support import (
    Api,
    Sink,
    Streams,
    connected,
    eventually,
    now,
    on_loop,
    serving,
    upstream,
)

WITHIN = 0.1
LATE_S = 0.15
STALLED = 0.5
"""The share of the rate that a machine that stalls leaves at least: what it misses beyond 100 ms is not made up for."""


def at_rate(got: int, rate_Bps: float, took_s: float) -> bool:
    """Never faster; on a machine that keeps up, not slower (tests/toxiproxy/test_timing.py has the exact times)."""
    return STALLED * rate_Bps * took_s <= got <= (1 + WITHIN) * rate_Bps * took_s


async def narrow(api: Api, proxy: str, rate: int, group: str, stream: str = "upstream") -> None:
    document = {"type": "bandwidth", "stream": stream, "attributes": {"rate": rate, "group": group}}
    answer = await api.call("POST", f"/proxies/{proxy}/toxics", document)
    assert answer.status == 200
    assert answer.json["attributes"] == {"rate": rate, "group": group}


@asynccontextmanager
async def senders(api: Api, *proxies: str) -> AsyncIterator[list[tuple[Sink, Streams]]]:
    """A connection through each of these proxies (made where they are new), and what arrives of it."""
    async with AsyncExitStack() as held:
        found = []
        for number, name in enumerate(proxies):
            sink = Sink()
            address = await held.enter_async_context(upstream(sink))
            await api.proxy(address, name=f"{name}{number}")
            listen = (await api.call("GET", f"/proxies/{name}{number}")).json["listen"]
            found.append((sink, await held.enter_async_context(connected(listen))))
        yield found
        for _, (_, writer) in found:
            writer.transport.abort()


@on_loop
async def test_two_connections_of_one_group_get_half_each() -> None:
    async with serving() as api, senders(api, "a", "b") as ((one, (_, first)), (two, (_, second))):
        await narrow(api, "a0", 400, "access")
        await narrow(api, "b1", 400, "access")
        start_s = now()
        first.write(bytes(1_000_000))
        second.write(bytes(1_000_000))
        await asyncio.sleep(1)
        got, took_s = (len(one.data), len(two.data)), now() - start_s
        assert at_rate(sum(got), 400_000, took_s)
        assert got[0] == pytest.approx(sum(got) / 2, rel=WITHIN)


@on_loop
async def test_the_connections_of_one_proxy_share_it_and_both_streams_do() -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(1_000_000))
        await reader.read()

    async with serving() as api, upstream(flood) as address:
        listen = (await api.proxy(address)).json["listen"]
        await narrow(api, "p", 300, "all", "downstream")
        await narrow(api, "p", 300, "all", "upstream")
        async with connected(listen) as (one, writer), connected(listen) as (two, _):
            writer.write(bytes(1_000_000))
            start_s = now()
            await asyncio.sleep(0.6)
            traffic = (await api.call("GET", "/proxies/p/connections")).json
            assert traffic["open"] == 2
            got = [len(reader._buffer) for reader in (one, two)]  # type: ignore[attr-defined]
            # A third of 300 KB/s each: the one upstream has the last.
            assert all(at_rate(each, 100_000, now() - start_s) for each in got)
            assert got[0] == pytest.approx(got[1], rel=WITHIN)
            for each in (writer, _):
                each.transport.abort()


@on_loop
async def test_what_one_leaves_the_other_gets() -> None:
    async with serving() as api, senders(api, "a", "b") as ((one, (_, first)), (two, (_, second))):
        for name in ("a0", "b1"):
            await narrow(api, name, 400, "access")
        start_s = now()
        first.write(bytes(40_000))
        second.write(bytes(160_000))
        await eventually(lambda: len(one.data) == 40_000)
        # Until then both had the same; its 40 KB took as long as 80 KB do.
        assert 0.19 <= now() - start_s < 0.2 + LATE_S  # who is first is a piece of 10 ms ahead
        await eventually(lambda: len(two.data) == 160_000)
        assert 0.5 <= now() - start_s < 0.5 + LATE_S


@on_loop
async def test_another_group_and_none_have_lines_of_their_own() -> None:
    async with serving() as api, senders(api, "a", "b", "c", "d") as all_of_them:
        for name, group in (("a0", "one"), ("b1", "two"), ("c2", ""), ("d3", "")):
            document = {
                "type": "bandwidth",
                "stream": "upstream",
                "attributes": {"rate": 200, "group": group},
            }
            shown = (await api.call("POST", f"/proxies/{name}/toxics", document)).json["attributes"]
            assert shown == ({"rate": 200, "group": group} if group else {"rate": 200})
        start_s = now()
        for _, (_, writer) in all_of_them:
            writer.write(bytes(60_000))
        await eventually(lambda: all(len(sink.data) == 60_000 for sink, _ in all_of_them))
        assert 0.3 <= now() - start_s < 0.3 + LATE_S


@on_loop
async def test_a_member_that_leaves_or_changes_its_group_frees_its_share_at_once() -> None:
    async with serving() as api, senders(api, "a", "b") as ((one, (_, first)), (two, (_, second))):
        for name in ("a0", "b1"):
            await narrow(api, name, 200, "access")
        first.write(bytes(500_000))
        second.write(bytes(500_000))
        await asyncio.sleep(0.1)
        path = "/proxies/a0/toxics/bandwidth_upstream"
        assert (await api.call("PATCH", path, {"attributes": {"group": "own"}})).status == 200
        before, since_s = (len(one.data), len(two.data)), now()
        await asyncio.sleep(0.5)
        took_s = now() - since_s
        for sink, was in zip((one, two), before, strict=True):
            got = len(sink.data) - was
            assert at_rate(got, 200_000, took_s)
            assert got > 1.2 * 100_000 * took_s  # each had half of it before
        assert (await api.call("DELETE", path)).status == 204
        await eventually(lambda: len(one.data) == 500_000)


@on_loop
async def test_a_group_is_a_text_of_at_most_200_characters() -> None:
    async with serving() as api, upstream(Sink()) as address:
        await api.proxy(address)
        for group, said in (("x" * 201, "at most 200 characters, not 201"), (5, "cannot unmarshal number 5")):
            document = {"type": "bandwidth", "attributes": {"rate": 1, "group": group}}
            answer = await api.call("POST", "/proxies/p/toxics", document)
            assert answer.status == 400
            assert said in answer.json["error"]
