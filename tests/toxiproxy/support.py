"""A server on this loop, a client that sees every byte of its answers, and upstreams to talk to. Loopback only."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from harness.toxiproxy import ToxiproxyServer
from harness.toxiproxy.context import ServerContext
from harness.toxiproxy.metrics import Metrics
from harness.toxiproxy.rate_limiter import RateLimiters

LIMIT_S = 20.0
LINGER_RESET = struct.pack("ii", 1, 0)

type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def on_loop[**P](test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test on a loop of its own, in bounded time, and check that it has left no task and no descriptor.

    Only what the test itself has made is collected: a full collection takes longer than most of these tests.
    """

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        gc.freeze()
        try:
            before = descriptors()
            asyncio.run(_bounded(test(*args, **kwargs)))
            gc.collect()
            assert descriptors() <= before, "file descriptors were leaked"
        finally:
            gc.unfreeze()

    return run


async def _bounded(test: Awaitable[None]) -> None:
    wrong: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
    async with asyncio.timeout(LIMIT_S):
        await test
    for _ in range(3):  # transports close one turn of the loop later
        await asyncio.sleep(0)
    left = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not left, f"tasks were left: {left}"
    assert not wrong, f"callbacks have failed: {wrong}"


def context(loop: asyncio.AbstractEventLoop, rate_limiters: RateLimiters | None = None) -> ServerContext:
    """What parts of a server need, without a server; the loop's own clock."""
    return ServerContext(
        loop,
        loop,
        loop,
        Metrics(proxies=False, runtime=False),
        seed=1,
        dial_timeout_s=10,
        rate_limiters=rate_limiters or RateLimiters(),
    )


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Api:
    server: ToxiproxyServer

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        *,
        raw: bytes | None = None,
    ) -> Answer:
        """One request on a connection of its own; `raw` is sent as it is."""
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: toxiproxy", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines.append(f"Content-Length: {len(data)}")
        sent = "\r\n".join(lines).encode() + b"\r\n\r\n" + data
        return (await self.exchange(sent))[0]

    async def exchange(self, sent: bytes) -> list[Answer]:
        """Send bytes, read the answers until the server closes."""
        reader, writer = await asyncio.open_connection(self.server.host, self.server.port)
        try:
            writer.write(sent)
            return parse_answers(await reader.read())
        finally:
            await closed(writer)

    async def proxy(self, upstream: str, name: str = "p", **more: object) -> Answer:
        document = {"name": name, "listen": "127.0.0.1:0", "upstream": upstream, **more}
        answer = await self.call("POST", "/proxies", document)
        assert answer.status == 201, answer
        return answer

    async def toxic(
        self, kind: str, stream: str = "downstream", proxy: str = "p", **attributes: Any
    ) -> Answer:
        document = {"type": kind, "stream": stream, "attributes": attributes}
        answer = await self.call("POST", f"/proxies/{proxy}/toxics", document)
        assert answer.status == 200, answer
        return answer

    async def untoxic(self, name: str, proxy: str = "p") -> None:
        assert (await self.call("DELETE", f"/proxies/{proxy}/toxics/{name}")).status == 204


def parse_answers(raw: bytes) -> list[Answer]:
    answers = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", "0"))
        answers.append(Answer(int(first.split(" ")[1]), headers, raw[:length]))
        raw = raw[length:]
    return answers


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Api]:
    async with ToxiproxyServer("127.0.0.1", 0, **{"seed": 1, **options}) as server:
        yield Api(server)


@contextlib.asynccontextmanager
async def upstream(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A TCP server; its `host:port`. Whatever `serve` was doing is ended with it."""
    tasks: set[asyncio.Task[Any]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            await closed(writer)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        server.close()
        waiting = list(tasks)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await server.wait_closed()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


class Sink:
    """An upstream that keeps what it gets, and the clock when it got it."""

    def __init__(self) -> None:
        self.chunks: list[tuple[float, bytes]] = []
        self.ended = asyncio.Event()
        self.error: Exception | None = None

    @property
    def data(self) -> bytes:
        return b"".join(data for _, data in self.chunks)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                self.chunks.append((now(), data))
        except ConnectionError as error:
            self.error = error
        self.ended.set()


@contextlib.asynccontextmanager
async def connected(listen: str) -> AsyncIterator[Streams]:
    host, port = listen.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), limit=1 << 20)
    try:
        yield reader, writer
    finally:
        await closed(writer)


@contextlib.asynccontextmanager
async def through(
    api: Api, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] = echo
) -> AsyncIterator[Streams]:
    """A connection through proxy "p" to an upstream."""
    async with upstream(serve) as address:
        listen = (await api.proxy(address)).json["listen"]
        async with connected(listen) as streams:
            yield streams


async def talk(streams: Streams, data: bytes = b"hello") -> bytes:
    """Send, and read as much back."""
    reader, writer = streams
    writer.write(data)
    return await reader.readexactly(len(data))


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def eventually(what: Callable[[], bool]) -> None:
    """Wait until it is so; the test's own limit ends it."""
    while not what():  # noqa: ASYNC110 - what is waited for is the state of sockets, which sets no event
        await asyncio.sleep(0.002)


def now() -> float:
    return asyncio.get_running_loop().time()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def connects(listen: str) -> bool:
    host, port = listen.rsplit(":", 1)
    with socket.socket() as sock:
        return sock.connect_ex((host, int(port))) == 0
