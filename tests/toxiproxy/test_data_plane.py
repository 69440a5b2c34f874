"""Section 2.6: what a proxy without toxics does with connections; where it is better than Toxiproxy."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import socket
from collections.abc import AsyncIterator

import pytest

from harness.toxiproxy import connection
from harness.toxiproxy.chunk import End
from harness.toxiproxy.metrics import Meter
from harness.toxiproxy.relay import Relay
from tests.toxiproxy.support import (
    LINGER_RESET,
    Sink,
    connected,
    context,
    descriptors,
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

BIG = random.Random(1).randbytes(8 << 20)


@on_loop
async def test_messages_of_every_size_pass_unchanged() -> None:
    async with serving() as api, through(api) as streams:
        for size in (1, 5, 1024, 65536, 65537, 300_000):
            data = BIG[:size]
            reader, writer = streams
            writer.write(data)
            assert await reader.readexactly(size) == data


@pytest.mark.parametrize("toxic", [None, "noop", "latency"])
@on_loop
async def test_megabytes_pass_unchanged_both_ways_at_once(toxic: str | None) -> None:
    async with serving() as api, through(api) as (reader, writer):
        if toxic is not None:
            await api.toxic(toxic)
            await api.toxic(toxic, "upstream")
        received = asyncio.create_task(reader.readexactly(len(BIG)))
        writer.write(BIG)
        await writer.drain()
        assert await received == BIG


@on_loop
async def test_a_slow_reader_holds_the_sender_back() -> None:
    piece, total = BIG[:65536], 64 << 20  # more than kernels keep, three sockets in a row
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.read(1)
        for _ in range(total // len(piece)):
            writer.write(piece)
            await writer.drain()
            sent += len(piece)

    async def steady() -> int:
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.05)
        return sent

    async with serving() as api, upstream(pour) as address:
        listen = (await api.proxy(address)).json["listen"]
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            host, port = listen.split(":")
            await loop.sock_connect(client, (host, int(port)))
            await loop.sock_sendall(client, b"x")
            held = await steady()
            assert held < total  # it stopped, far from the end
            got = bytearray()
            while len(got) < total:
                got += await loop.sock_recv(client, 1 << 20)
            assert got == piece * (total // len(piece))


@on_loop
async def test_an_upstream_that_refuses_is_a_connection_that_ends_at_once() -> None:
    async with serving() as api:
        listen = (await api.proxy(f"127.0.0.1:{free_port()}")).json["listen"]
        async with connected(listen) as (reader, _):
            assert await reader.read() == b""
        for bad in ("nothing", "127.0.0.1:99999", "127.0.0.1:", "no\0host:1"):
            await api.call("PATCH", "/proxies/p", {"upstream": bad})
            async with connected(listen) as (reader, _):
                assert await reader.read() == b""
        assert api.server.statistics.connections == 0


@on_loop
async def test_an_upstream_by_name() -> None:
    async with serving() as api, upstream(echo) as address:
        listen = (await api.proxy(address.replace("127.0.0.1", "localhost"))).json["listen"]
        async with connected(listen) as streams:
            assert await talk(streams) == b"hello"


@contextlib.asynccontextmanager
async def never_accepting() -> AsyncIterator[str]:
    """An address whose connects hang: a listener whose backlog is full."""
    with socket.socket() as listener, contextlib.ExitStack() as held:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        loop = asyncio.get_running_loop()
        address = listener.getsockname()
        waiting = []
        for _ in range(4):
            sock = held.enter_context(socket.socket())
            sock.setblocking(False)
            waiting.append(loop.create_task(loop.sock_connect(sock, address)))
        await asyncio.sleep(0.05)
        yield f"{address[0]}:{address[1]}"
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


@on_loop
async def test_an_upstream_that_hangs_blocks_nobody() -> None:
    async with serving(dial_timeout_s=0.25) as api, upstream(echo) as good, never_accepting() as stuck:
        listen = (await api.proxy(stuck)).json["listen"]
        start_s = now()
        async with connected(listen) as (reader, writer):
            writer.write(b"hello")
            await eventually(lambda: api.server.statistics.connections == 1)
            # While it hangs: other clients are accepted, the API answers, disabling works at once.
            async with connected(listen) as (second, _):
                await eventually(lambda: api.server.statistics.connections == 2)
                assert (await api.call("GET", "/proxies/p")).status == 200
                await api.call("PATCH", "/proxies/p", {"enabled": False})
                assert await second.read() == b""
            assert await reader.read() == b""
            assert now() - start_s < 0.25
        await api.call("PATCH", "/proxies/p", {"enabled": True})
        async with connected(listen) as (reader, _):
            start_s = now()
            assert await reader.read() == b""
            assert 0.2 < now() - start_s < 1.0
            assert (await api.call("GET", "/proxies/p/connections")).json["upstream_failed"] == 1
        await api.call("PATCH", "/proxies/p", {"upstream": good})
        async with connected(listen) as streams:
            assert await talk(streams) == b"hello"


@on_loop
async def test_half_close_of_the_client_still_gets_the_answer() -> None:
    async def answer_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())

    async with serving() as api, through(api, answer_at_the_end) as (reader, writer):
        writer.write(b"hello")
        writer.write_eof()
        assert await reader.read() == b"HELLO"
        await eventually(lambda: api.server.statistics.connections == 0)


@on_loop
async def test_half_close_of_the_upstream_lets_the_client_finish() -> None:
    got = asyncio.get_running_loop().create_future()

    async def ends_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.write_eof()
        got.set_result(await reader.read())

    async with serving() as api, through(api, ends_first) as (reader, writer):
        assert await reader.read() == b"bye"
        writer.write(b"one more thing")
        writer.write_eof()
        assert await got == b"one more thing"
        await eventually(lambda: api.server.statistics.connections == 0)


@on_loop
async def test_a_client_that_leaves_ends_the_upstream() -> None:
    sink = Sink()
    async with serving() as api, through(api, sink) as (_, writer):
        writer.write(BIG[:100_000])
        writer.close()
        await sink.ended.wait()
        assert sink.data == BIG[:100_000]
        assert sink.error is None
        await eventually(lambda: api.server.statistics.connections == 0)


@pytest.mark.parametrize("toxic", [None, "noop"])
@on_loop
async def test_a_reset_of_one_side_reaches_the_other(toxic: str | None) -> None:
    sink = Sink()
    async with serving() as api, through(api, sink) as (_, writer):
        if toxic is not None:
            await api.toxic(toxic, "upstream")
        writer.write(b"hello")
        await eventually(lambda: sink.data == b"hello")
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        writer.transport.abort()
        await sink.ended.wait()
        assert isinstance(sink.error, ConnectionResetError)

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        writer.transport.abort()

    async with serving() as api, through(api, reset) as (reader, writer):
        if toxic is not None:
            await api.toxic(toxic)
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        await eventually(lambda: api.server.statistics.connections == 0)


@on_loop
async def test_an_upstream_that_dies_while_written_to_ends_the_client() -> None:
    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.write(b"last words")
        await writer.drain()

    async with serving() as api, through(api, die) as (reader, writer):
        writer.write(b"x")
        assert await reader.readexactly(10) == b"last words"
        with contextlib.suppress(ConnectionError):
            while True:  # its writes fail, sooner or later, as they would without a proxy
                writer.write(BIG[:100_000])
                await writer.drain()
        await eventually(lambda: api.server.statistics.connections == 0)


async def read_all(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 20):
        pass


@on_loop
async def test_a_reset_that_writing_noticed_first_is_not_taken_for_an_end() -> None:
    """Writing to a dead socket takes its error away: reading it then shows nothing but an end."""
    go = asyncio.Event()

    async def pour_and_die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(bytes(64 << 20))
        await go.wait()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        writer.transport.abort()

    async with serving() as api, through(api, pour_and_die) as (reader, writer):
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(bytes(64 << 20))
        before = -1
        while before != (left := writer.transport.get_write_buffer_size()):  # until both ways are full
            before = left
            await asyncio.sleep(0.05)
        assert left > 0
        go.set()
        await asyncio.sleep(0.02)
        reader._transport.resume_reading()  # type: ignore[attr-defined]
        with pytest.raises(ConnectionResetError):
            await read_all(reader)


@on_loop
async def test_closing_is_an_end_even_when_data_was_not_read() -> None:
    """The kernel resets a connection that is closed with unread data: the client must see an end all the same."""
    async with serving(dial_timeout_s=0.1) as api, never_accepting() as stuck:
        listen = (await api.proxy(stuck)).json["listen"]
        async with connected(listen) as (reader, writer):
            writer.write(b"never read" * 1000)
            assert await reader.read() == b""


@on_loop
async def test_running_out_of_descriptors_pauses_accepting(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as api, upstream(echo) as address:
        listen = (await api.proxy(address)).json["listen"]
        host, port = listen.split(":")
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.socket() as client:
            client.setblocking(False)
            taken: list[int] = []
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() + 8, limits[1]))
            try:
                with contextlib.suppress(OSError):
                    while True:
                        taken.append(os.dup(client.fileno()))
                await asyncio.get_running_loop().sock_connect(client, (host, int(port)))
                await asyncio.sleep(0.05)
                assert api.server.statistics.connections == 0
                assert "too many open files" in caplog.text
            finally:
                for fd in taken:
                    os.close(fd)
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            await eventually(lambda: api.server.statistics.connections == 1)


@on_loop
async def test_all_connections_can_be_reset_at_once() -> None:
    async with serving() as api, through(api) as streams:
        await talk(streams)
        assert (await api.call("POST", "/proxies/p/connections/reset")).json == {"connections": 1}
        with pytest.raises(ConnectionResetError):
            await streams[0].read()
        shown = (await api.call("GET", "/proxies/p/connections")).json
        sent = shown.pop("upstream_bytes")
        assert sent > 0
        unhappy = {"unanswered": 0, "upstream_failed": 0}
        assert shown == {"open": 0, "accepted": 1, **unhappy, "downstream_bytes": sent}
        every = (await api.call("GET", "/connections")).json
        assert every == {"p": {**shown, "upstream_bytes": sent}}
        assert (await api.call("POST", "/proxies/q/connections/reset")).status == 404


@on_loop
async def test_closing_drains_a_bounded_amount() -> None:
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            right.send(bytes(65536))
    connection._close(left, reset=False)
    assert right.recv(1) == b""
    right.close()


@on_loop
async def test_stopping_the_server_closes_everything_it_has() -> None:
    async with upstream(echo) as address:
        async with serving() as api:
            listen = (await api.proxy(address)).json["listen"]
            await api.toxic("latency", latency=1000)
            host, port = listen.split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"hello")
            await eventually(lambda: api.server.statistics.connections == 1)
        left = [task for task in asyncio.all_tasks() if task.get_name().startswith(("toxic", "dial"))]
        assert left == []
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(host, int(port))


@on_loop
async def test_the_end_of_a_source_that_could_not_be_written_to_is_a_reset() -> None:
    ends: list[End] = []
    source, sender = socket.socketpair()
    target, receiver = socket.socketpair()
    with source, target, receiver:
        source.setblocking(False)
        target.setblocking(False)
        relay = Relay(
            context(asyncio.get_running_loop()),
            source,
            target,
            Meter(),
            draw=lambda _: random.Random(1),
            on_end=lambda _, end: ends.append(end),
            on_lost=lambda _: None,
            on_source_end=lambda _, __: None,
        )
        relay.start([])
        relay.source_is_gone = True
        sender.send(b"last words")
        sender.close()
        await eventually(lambda: bool(ends))
        relay.stop()
        assert ends == [End.RESET]
        assert receiver.recv(100) == b"last words"
