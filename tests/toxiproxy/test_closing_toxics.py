"""slow_close, timeout, reset_peer, limit_data: the toxics that end connections."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from tests.toxiproxy.support import (
    LINGER_RESET,
    Sink,
    connected,
    descriptors,
    echo,
    eventually,
    now,
    on_loop,
    serving,
    talk,
    through,
    upstream,
)

LATE_S = 0.15


async def say_and_leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"bye")


@on_loop
async def test_slow_close_delays_the_end_only() -> None:
    async with serving() as api, upstream(say_and_leave) as address:
        listen = (await api.proxy(address)).json["listen"]
        await api.toxic("slow_close", delay=100)
        start_s = now()
        async with connected(listen) as (reader, _):
            assert await reader.readexactly(3) == b"bye"
            assert now() - start_s < 0.1
            assert await reader.read() == b""
            assert 0.1 <= now() - start_s < 0.1 + LATE_S


@on_loop
async def test_removing_slow_close_closes_now() -> None:
    async with serving() as api, upstream(say_and_leave) as address:
        listen = (await api.proxy(address)).json["listen"]
        await api.toxic("slow_close", delay=60_000)
        async with connected(listen) as (reader, _):
            assert await reader.readexactly(3) == b"bye"
            await api.call(
                "PATCH", "/proxies/p/toxics/slow_close_downstream", {"attributes": {"delay": 50_000}}
            )
            await api.untoxic("slow_close_downstream")
            assert await reader.read() == b""


@on_loop
async def test_timeout_swallows_and_closes_after_the_last_data() -> None:
    sink = Sink()
    async with serving() as api, through(api, sink) as (reader, writer):
        await api.toxic("timeout", "upstream", timeout=100)
        for _ in range(4):  # every chunk begins the time again
            writer.write(b"lost")
            last_s = now()
            await asyncio.sleep(0.04)
        assert await reader.read() == b""
        assert 0.1 <= now() - last_s < 0.1 + LATE_S
        await sink.ended.wait()
        assert sink.data == b""


@on_loop
async def test_timeout_closes_an_idle_connection_too() -> None:
    async with serving() as api, through(api) as (reader, _):
        await eventually(lambda: api.server.statistics.connections == 1)
        start_s = now()
        await api.toxic("timeout", timeout=60)
        assert await reader.read() == b""
        assert 0.06 <= now() - start_s < 0.06 + LATE_S


@on_loop
async def test_timeout_zero_is_silence_until_it_is_removed_which_closes() -> None:
    async with serving() as api, through(api) as (reader, writer):
        await api.toxic("timeout")
        writer.write(b"hello")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.read()
        await api.untoxic("timeout_downstream")
        assert await reader.read() == b""
        await eventually(lambda: api.server.statistics.connections == 0)


@pytest.mark.parametrize(("kind", "attributes"), [("timeout", {"timeout": 0}), ("bandwidth", {"rate": 0})])
@pytest.mark.parametrize("stays", [False, True])
@on_loop
async def test_a_client_that_gives_up_behind_a_toxic_that_never_passes_anything_is_let_go(
    stays: bool, kind: str, attributes: dict[str, Any]
) -> None:
    over = asyncio.Event()

    async def ignore_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"answer")
        await reader.read()
        await over.wait() if stays else None

    async with serving() as api, through(api, ignore_the_end) as (_, writer):
        await api.toxic(kind, **attributes)
        writer.write(b"request")
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.close()
        await eventually(lambda: api.server.statistics.connections == 0)
        over.set()


@on_loop
async def test_a_connection_whose_server_has_gone_keeps_one_descriptor_while_a_toxic_holds_its_data() -> None:
    async with serving() as api, upstream(say_and_leave) as address:
        listen = (await api.proxy(address)).json["listen"]
        await api.toxic("latency", latency=60_000)
        before = descriptors()
        async with connected(listen) as (reader, writer):
            writer.write_eof()
            # Both sockets of the client's and of the server's connection, less the server's own and ours to it.
            await eventually(lambda: descriptors() == before + 2)
            assert api.server.statistics.connections == 1
            await api.untoxic("latency_downstream")
            assert await reader.read() == b"bye"
        await eventually(lambda: api.server.statistics.connections == 0)


@on_loop
async def test_a_client_that_resets_is_let_go_although_a_toxic_holds_data_for_it() -> None:
    async with serving() as api, through(api) as (_, writer):
        await api.toxic("latency", latency=60_000)
        writer.write(b"hello")
        await eventually(lambda: api.server.statistics.connections == 1)
        await asyncio.sleep(0.02)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        writer.transport.abort()
        await eventually(lambda: api.server.statistics.connections == 0)


@on_loop
async def test_a_timeout_behind_another_toxic_never_hangs_its_removal() -> None:
    async with serving() as api, through(api) as (_, writer):
        await api.toxic("latency", "upstream", latency=10)
        await api.toxic("timeout", "upstream")
        for _ in range(5):
            writer.write(b"hello")
            await asyncio.sleep(0.01)
        start_s = now()
        await api.untoxic("latency_upstream")
        assert now() - start_s < 1


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
@pytest.mark.parametrize("live", [False, True])
@on_loop
async def test_reset_peer_resets_both_sides(stream: str, live: bool) -> None:
    seen: list[Exception] = []

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await echo(reader, writer)
        except ConnectionError as error:
            seen.append(error)

    async with serving() as api, upstream(reply) as address:
        listen = (await api.proxy(address)).json["listen"]
        if not live:
            await api.toxic("reset_peer", stream)
        async with connected(listen) as streams:
            if live:  # Toxiproxy ends it cleanly then
                await talk(streams)
                await api.toxic("reset_peer", stream)
            with pytest.raises(ConnectionResetError):
                await talk(streams)
            await eventually(lambda: bool(seen))


@on_loop
async def test_reset_peer_waits_from_the_first_data_and_leaves_the_idle_alone() -> None:
    async with serving() as api, upstream(echo) as address:
        listen = (await api.proxy(address)).json["listen"]
        await api.toxic("reset_peer", timeout=80)
        async with connected(listen) as (reader, writer), connected(listen) as (idle, _):
            start_s = now()
            writer.write(b"x")
            with pytest.raises(ConnectionResetError):
                await reader.read()
            assert 0.08 <= now() - start_s < 0.08 + LATE_S
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await idle.read()


@on_loop
async def test_reset_peer_resets_at_the_end_as_well() -> None:
    sink = Sink()
    async with serving() as api, through(api, sink) as (_, writer):
        await api.toxic("reset_peer", "upstream")
        writer.write_eof()
        await sink.ended.wait()
        assert isinstance(sink.error, ConnectionResetError)


@on_loop
async def test_the_wait_of_reset_peer_can_be_ended_and_the_data_passes() -> None:
    async with serving() as api, through(api) as (reader, writer):
        await api.toxic("reset_peer", timeout=60_000)
        writer.write(b"hello")
        await asyncio.sleep(0.03)
        start_s = now()
        await api.untoxic("reset_peer_downstream")
        assert await reader.readexactly(5) == b"hello"
        assert now() - start_s < LATE_S


@pytest.mark.parametrize(
    "chunks", [[b"12345"], [b"123", b"45", b"6789"], [b"123456789"], [b"1234", b"56789"]]
)
@on_loop
async def test_limit_data_passes_exactly_so_many_bytes(chunks: list[bytes]) -> None:
    async with serving() as api, through(api) as (reader, writer):
        await api.toxic("limit_data", bytes=5)
        for chunk in chunks:
            writer.write(chunk)
            await asyncio.sleep(0.005)
        assert await reader.read() == b"12345"


@on_loop
async def test_limit_data_of_nothing_closes_at_the_first_data_only() -> None:
    async with serving() as api, through(api) as (reader, writer):
        await api.toxic("limit_data")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.03):
                await reader.read()
        writer.write(b"x")
        assert await reader.read() == b""


@on_loop
async def test_limit_data_counts_on_through_updates_and_by_connection() -> None:
    async with serving() as api, upstream(echo) as address:
        listen = (await api.proxy(address)).json["listen"]
        await api.toxic("limit_data", bytes=1000)
        for _ in range(2):
            async with connected(listen) as streams:
                assert await talk(streams, b"x" * 600) == b"x" * 600
                await api.call("PATCH", "/proxies/p/toxics/limit_data_downstream", {})
                streams[1].write(b"y" * 600)
                assert await streams[0].read() == b"y" * 400
        async with connected(listen) as streams:
            assert await talk(streams, b"x" * 600) == b"x" * 600
            await api.call("PATCH", "/proxies/p/toxics/limit_data_downstream", {"attributes": {"bytes": 10}})
            streams[1].write(b"y" * 1000)
            assert await streams[0].read() == b""


@on_loop
async def test_limit_data_removed_in_time_lets_everything_through() -> None:
    async with serving() as api, through(api) as streams:
        await api.toxic("limit_data", bytes=10)
        await talk(streams)
        await api.untoxic("limit_data_downstream")
        assert await talk(streams, b"z" * 100) == b"z" * 100
