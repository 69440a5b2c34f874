"""A small HTTP/1.1 server for the API: exact about status lines, headers and limits, and quick to start.

Framing follows Go's `net/http` where a client can see it: keep-alive, chunked request bodies,
`Expect: 100-continue`, 400 for what is not HTTP, 431 for long headers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from harness.errors import HarnessError
from harness.toxiproxy.address import listening_sockets

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 16 * 1024 * 1024
IDLE_S, READ_S, WRITE_S, HANDLER_S = 60.0, 15.0, 30.0, 25.0

TEXT = "text/plain; charset=utf-8"
_PAUSE_S = 0.1
_NOTHING = b"{"  # a body of which nothing arrived: cut, not empty
_TIMEOUT_PAGE = b"<html><head><title>Timeout</title></head><body><h1>Timeout</h1></body></html>"

log = logging.getLogger("harness.toxiproxy")


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    """Decoded; the query is left out."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    target: str = ""
    """As it was sent."""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes = b""
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Head:
    method: str
    target: str
    version: str
    headers: Mapping[str, str]

    @property
    def keep_alive(self) -> bool:
        connection = self.headers.get("connection", "").lower()
        return (self.version == "HTTP/1.1" and "close" not in connection) or "keep-alive" in connection


class _BadRequest(HarnessError):
    """Not a request that can be answered; the connection is closed after the status."""

    def __init__(self, status: int, detail: str = "") -> None:
        phrase = HTTPStatus(status).phrase
        super().__init__(f"{status} {phrase}" + (f": {detail}" if detail else ""))
        self.status = status


class HttpServer:
    """Args:
    handle: answers one request; cancelled after `handler_s`, which is answered with 503.
    max_connections: so many at once; the one that waits longest for a request makes room for another.
    """

    def __init__(
        self,
        handle: Callable[[Request], Awaitable[Response]],
        handler_s: float = HANDLER_S,
        max_connections: int = 100,
    ) -> None:
        self._handle = handle
        self._handler_s = handler_s
        self._max_connections = max_connections
        self._loop = asyncio.get_running_loop()
        self._listeners: list[socket.socket] = []
        self._accepting = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle: dict[asyncio.StreamWriter, None] = {}
        """The connections that wait for a request, the longest first."""

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; the address that was bound. Raises OSError."""
        self._listeners = await listening_sockets(host, port)
        self._accept_again()
        bound = self._listeners[0].getsockname()
        return bound[0], bound[1]

    async def stop(self) -> None:
        """Listen no more and close every connection."""
        self._pause()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _acceptable(self, listener: socket.socket) -> None:
        if len(self._tasks) >= self._max_connections:
            if self._idle:
                next(iter(self._idle)).transport.abort()
            self._pause()  # until a connection is closed
            return
        try:
            client, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:  # no descriptors are left
            log.warning("the API cannot accept: %s", error)
            self._pause()
            self._loop.call_later(_PAUSE_S, self._accept_again)
            return
        client.setblocking(False)
        task = self._loop.create_task(self._serve(client), name="API connection")
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._accept_again()

    def _pause(self) -> None:
        if self._accepting:
            self._accepting = False
            for listener in self._listeners:
                self._loop.remove_reader(listener.fileno())

    def _accept_again(self) -> None:
        if not self._accepting and self._listeners:
            self._accepting = True
            for listener in self._listeners:
                self._loop.add_reader(listener.fileno(), self._acceptable, listener)

    async def _serve(self, client: socket.socket) -> None:
        try:
            reader, writer = await asyncio.open_connection(sock=client, limit=MAX_HEAD_BYTES)
        except OSError:  # the client has gone
            client.close()
            return
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has gone, or is too slow
        finally:
            self._idle.pop(writer, None)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection goes on."""
        self._idle[writer] = None
        async with asyncio.timeout(IDLE_S):
            first = await reader.readexactly(1)
        self._idle.pop(writer, None)
        try:
            async with asyncio.timeout(READ_S):
                head = _head(first + await _until_blank_line(reader))
                if head.headers.get("expect", "").lower() == "100-continue":
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                body, complete = await _body(reader, head.headers)
                request = Request(head.method, _path(head.target), head.headers, body, head.target)
        except _BadRequest as error:
            await _send(writer, Response(error.status, str(error).encode(), TEXT), "GET", keep=False)
            return False
        keep = head.keep_alive and complete
        await _send(writer, await self._answer(request), head.method, keep=keep)
        return keep

    async def _answer(self, request: Request) -> Response:
        try:
            async with asyncio.timeout(self._handler_s):
                return await self._handle(request)
        except TimeoutError:
            return Response(503, _TIMEOUT_PAGE, "text/html; charset=utf-8")
        except Exception as error:
            log.exception("%s %s failed", request.method, request.target)
            return Response(500, f"internal error: {type(error).__name__}\n".encode(), TEXT)


async def _until_blank_line(reader: asyncio.StreamReader) -> bytes:
    """The lines of a head, which end with CR LF or, as Go accepts it, with LF."""
    head = bytearray()
    try:
        while (line := await reader.readuntil(b"\n")) not in {b"\n", b"\r\n"} or not head.strip():
            head += line
            if len(head) > MAX_HEAD_BYTES:
                raise _BadRequest(431)
    except asyncio.LimitOverrunError:
        raise _BadRequest(431) from None
    return bytes(head)


def _head(raw: bytes) -> Head:
    first, *lines = (line.removesuffix("\r") for line in raw.decode("latin-1").strip("\r\n").split("\n"))
    parts = first.split(" ")
    if len(parts) != 3 or not parts[0].isalpha() or not parts[2].startswith("HTTP/"):
        raise _BadRequest(400)
    if parts[2] not in {"HTTP/1.1", "HTTP/1.0"}:
        raise _BadRequest(505)
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip() or any(byte in value for byte in "\r\n\0"):
            raise _BadRequest(400)
        key = name.lower()
        if key in {"content-length", "host"} and headers.get(key, value.strip()) != value.strip():
            raise _BadRequest(400, f"two different {key} headers")
        headers[key] = value.strip()
    if parts[2] == "HTTP/1.1" and "host" not in headers:
        raise _BadRequest(400, "missing required Host header")
    return Head(parts[0], parts[1], parts[2], headers)


def _path(target: str) -> str:
    if target.lower().startswith(("http://", "https://")):
        target = "/" + target.split("//", 1)[1].partition("/")[2]
    path = target.partition("?")[0]
    if not path.startswith("/") and path != "*":
        raise _BadRequest(400)
    for escape in path.split("%")[1:]:
        if len(escape) < 2 or any(digit not in "0123456789abcdefABCDEF" for digit in escape[:2]):
            raise _BadRequest(400)
    return unquote_to_bytes(path.encode("latin-1")).decode("utf-8", "replace")


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> tuple[bytes, bool]:
    """The body, and whether it is complete: Go, too, handles a request whose body was cut."""
    encoding = headers.get("transfer-encoding")
    if encoding is not None:
        if encoding.lower() != "chunked":
            raise _BadRequest(501, "unsupported transfer encoding")
        return await _chunked(reader)
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise _BadRequest(400, "bad Content-Length")
    if len(length) > 15 or int(length) > MAX_BODY_BYTES:
        raise _BadRequest(413)
    return await _read_exactly(reader, int(length))


async def _read_exactly(reader: asyncio.StreamReader, size: int) -> tuple[bytes, bool]:
    try:
        return await reader.readexactly(size), True
    except asyncio.IncompleteReadError as error:
        return error.partial or _NOTHING, False


async def _chunked(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    body = bytearray()
    while True:
        try:
            line = await reader.readuntil(b"\r\n")
            size = line.partition(b";")[0].strip()
            if not size or len(size) > 15 or any(digit not in b"0123456789abcdefABCDEF" for digit in size):
                raise _BadRequest(400)
            if len(body) + int(size, 16) > MAX_BODY_BYTES:
                raise _BadRequest(413)
            if not int(size, 16):
                while await reader.readuntil(b"\r\n") != b"\r\n":
                    pass
                return bytes(body), True
            part, complete = await _read_exactly(reader, int(size, 16))
            body += part
            if not complete:
                return bytes(body), False
            if await reader.readexactly(2) != b"\r\n":
                raise _BadRequest(400)
        except asyncio.IncompleteReadError:
            return bytes(body) or _NOTHING, False
        except asyncio.LimitOverrunError:
            raise _BadRequest(431) from None


async def _send(writer: asyncio.StreamWriter, response: Response, method: str, *, keep: bool) -> None:
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    if response.content_type is not None:
        lines.append(f"Content-Type: {response.content_type}")
    lines.append(f"Date: {time.strftime('%a, %d %b %Y %H:%M:%S GMT', time.gmtime())}")
    if response.status != 204:
        lines.append(f"Content-Length: {len(response.body)}")
    if not keep:
        lines.append("Connection: close")
    head = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
    writer.write(head if method == "HEAD" else head + response.body)
    async with asyncio.timeout(WRITE_S):
        await writer.drain()
