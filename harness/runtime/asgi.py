"""ASGI applications (FastAPI, Starlette, ...) behind `host.serve`: an aiohttp application that calls them.

So they get HTTP faults, processor costs and accounts as aiohttp applications do. HTTP and WebSocket connections and the
lifespan, of ASGI 3.0 (https://asgi.readthedocs.io/en/latest/specs/).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, MutableMapping
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from harness.errors import HarnessError
from harness.system.host import AsgiApplication

type Message = MutableMapping[str, Any]

_VERSIONS = {"version": "3.0", "spec_version": "2.3"}


class LifespanError(HarnessError):
    """The application says that it cannot start."""


def as_aiohttp(app: AsgiApplication) -> web.Application:
    """A new aiohttp application that answers with this ASGI application."""
    adapter = _Adapter(app)
    made = web.Application(client_max_size=0)
    made.cleanup_ctx.append(adapter.lifespan)
    # The routes that are known are routes here, too, so that costs can name them.
    for path, methods in _routes(app):
        for method in methods:
            made.router.add_route(method, path, adapter.handle)
    made.router.add_route("*", "/{path:.*}", adapter.handle)
    return made


def _routes(app: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The paths of an application that lists them as Starlette does, with their methods."""
    seen: set[tuple[str, str]] = set()
    for route in getattr(app, "routes", ()):
        path, methods = getattr(route, "path", None), getattr(route, "methods", None)
        if not isinstance(path, str) or not path.startswith("/") or not methods:
            continue
        path = re.sub(r"\{(\w+):path\}", r"{\1:.*}", path)
        path = re.sub(r"\{(\w+):(?:int|float|str|uuid)\}", r"{\1}", path)
        new = tuple(sorted(method for method in methods if (path, method) not in seen))
        seen.update((path, method) for method in new)
        if new:
            yield path, new


class _Adapter:
    def __init__(self, app: AsgiApplication) -> None:
        self._app = app
        self._state: dict[str, Any] = {}

    # ------------------------------------------------------------------ lifespan

    async def lifespan(self, _: web.Application) -> AsyncIterator[None]:
        """Start it and shut it down. An application that raises at once does not support this; that is no error."""
        asked: asyncio.Queue[Message] = asyncio.Queue()
        answers: asyncio.Queue[Message | None] = asyncio.Queue()

        async def run() -> None:
            scope = {"type": "lifespan", "asgi": _VERSIONS, "state": self._state}
            try:
                await self._app(scope, asked.get, answers.put)
            except Exception:
                if started:
                    raise
            finally:
                answers.put_nowait(None)

        started = False
        task = asyncio.create_task(run(), name="lifespan")
        await asked.put({"type": "lifespan.startup"})
        answer = await answers.get()
        if answer is not None and answer["type"] == "lifespan.startup.failed":
            await task
            raise LifespanError(f"the application cannot start: {answer.get('message') or 'no reason given'}")
        started = answer is not None
        yield
        if started:
            await asked.put({"type": "lifespan.shutdown"})
            await answers.get()
        task.cancel()
        await asyncio.wait([task])

    # ------------------------------------------------------------------ requests

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await _WebSocket(request).run(self._app, self._scope(request, "websocket"))
        return await _Exchange(request).run(self._app, self._scope(request, "http"))

    def _scope(self, request: web.Request, kind: str) -> dict[str, Any]:
        transport = request.transport
        version = request.version
        raw_path, _, query = request.raw_path.partition("?")
        scope = {
            "type": kind,
            "asgi": _VERSIONS,
            "http_version": f"{version.major}.{version.minor}",
            "scheme": "http" if kind == "http" else "ws",
            "path": request.path,
            "raw_path": raw_path.encode("ascii", "replace"),
            "query_string": query.encode("ascii", "replace"),
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.raw_headers],
            "client": None if transport is None else _address(transport.get_extra_info("peername")),
            "server": None if transport is None else _address(transport.get_extra_info("sockname")),
            "state": dict(self._state),
        }
        if kind == "http":
            return scope | {"method": request.method}
        protocols = request.headers.get("Sec-WebSocket-Protocol", "")
        return scope | {"subprotocols": [one.strip() for one in protocols.split(",") if one.strip()]}


def _address(name: Any) -> tuple[str, int] | None:
    return None if name is None else (name[0], name[1])


class _Exchange:
    """One request and its answer."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._status = 500
        self._headers: list[tuple[bytes, bytes]] = []
        self._response: web.StreamResponse | None = None
        self._read = False
        self._over = asyncio.Event()

    async def run(self, app: AsgiApplication, scope: dict[str, Any]) -> web.StreamResponse:
        try:
            await app(scope, self._receive, self._send)
        finally:
            self._over.set()
        if self._response is None:
            raise RuntimeError("the ASGI application returned without a response")
        return self._response

    async def _receive(self) -> Message:
        if not self._read:
            data, last = await self._request.content.readchunk()
            at_end = self._request.content.at_eof() or (not data and not last)
            self._read = at_end
            return {"type": "http.request", "body": data, "more_body": not at_end}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self._status, self._headers = message["status"], list(message.get("headers", ()))
        elif kind == "http.response.body":
            await self._send_body(bytes(message.get("body", b"")), more=bool(message.get("more_body", False)))

    async def _send_body(self, data: bytes, *, more: bool) -> None:
        if self._response is None:
            self._response = response = web.StreamResponse(status=self._status)
            for name, value in self._headers:
                response.headers.add(name.decode("latin-1"), value.decode("latin-1"))
            await response.prepare(self._request)
        if data:
            await self._response.write(data)
        if not more:
            await self._response.write_eof()
            self._over.set()


class _WebSocket:
    """One WebSocket connection."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._socket: web.WebSocketResponse | None = None
        self._refused: web.StreamResponse | None = None
        self._connected = False

    async def run(self, app: AsgiApplication, scope: dict[str, Any]) -> web.StreamResponse:
        await app(scope, self._receive, self._send)
        if self._socket is not None:
            await self._socket.close()
            return self._socket
        return self._refused or web.Response(status=403)

    async def _receive(self) -> Message:
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        if self._socket is None:
            return {"type": "websocket.disconnect", "code": WSCloseCode.ABNORMAL_CLOSURE}
        message = await self._socket.receive()
        if message.type is WSMsgType.TEXT:
            return {"type": "websocket.receive", "text": message.data}
        if message.type is WSMsgType.BINARY:
            return {"type": "websocket.receive", "bytes": message.data}
        code = self._socket.close_code or WSCloseCode.ABNORMAL_CLOSURE
        return {"type": "websocket.disconnect", "code": int(code)}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.accept":
            protocol = message.get("subprotocol")
            self._socket = web.WebSocketResponse(protocols=(protocol,) if protocol else ())
            await self._socket.prepare(self._request)
        elif kind == "websocket.close" and self._socket is None:
            self._refused = web.Response(status=403)
        elif self._socket is not None and kind == "websocket.send":
            if message.get("text") is not None:
                await self._socket.send_str(message["text"])
            else:
                await self._socket.send_bytes(message["bytes"])
        elif self._socket is not None and kind == "websocket.close":
            await self._socket.close(
                code=message.get("code", 1000), message=message.get("reason", "").encode()
            )
