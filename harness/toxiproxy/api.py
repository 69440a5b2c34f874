"""The HTTP API: which path does what, and how answers and errors look on the wire."""

from __future__ import annotations

import json
import logging
import posixpath
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from harness.toxiproxy.collection import PopulateError, ProxyCollection
from harness.toxiproxy.decode import decode
from harness.toxiproxy.errors import ApiError
from harness.toxiproxy.http import TEXT, Request, Response
from harness.toxiproxy.metrics import CONTENT_TYPE, Metrics
from harness.toxiproxy.proxy import Proxy
from harness.toxiproxy.strict import VERSION as STRICT_VERSION
from harness.toxiproxy.strict import proxy_only, toxic_only

VERSION = "2.12.0+harness"
"""The release of Toxiproxy whose contract this is."""

_JSON = "application/json"
_NOSNIFF = (("X-Content-Type-Options", "nosniff"),)

type _Handler = Callable[[Request, Sequence[str]], Awaitable[Response]]

log = logging.getLogger("harness.toxiproxy")


class Api:
    """`handle` answers every request. Errors become Toxiproxy's own JSON; what is not a route, plain text.

    `strict`: Toxiproxy's own routes and keys only.
    """

    def __init__(self, proxies: ProxyCollection, metrics: Metrics, *, strict: bool = False) -> None:
        self._proxies = proxies
        self._metrics = metrics
        self._strict = strict
        self._warned = False
        self._routes: dict[tuple[str, ...], Mapping[str, _Handler]] = {
            ("version",): {"GET": self._version},
            ("proxies",): {"GET": self._list, "POST": self._create},
            ("populate",): {"POST": self._populate},
            ("reset",): {"POST": self._reset},
            ("connections",): {"GET": self._all_connections},
            ("proxies", "*"): {
                "GET": self._show,
                "POST": self._update,
                "PATCH": self._update,
                "DELETE": self._delete,
            },
            ("proxies", "*", "connections"): {"GET": self._connections},
            ("proxies", "*", "connections", "reset"): {"POST": self._reset_connections},
            ("proxies", "*", "toxics"): {"GET": self._toxics, "POST": self._add_toxic},
            ("proxies", "*", "toxics", "*"): {
                "GET": self._show_toxic,
                "POST": self._update_toxic,
                "PATCH": self._update_toxic,
                "DELETE": self._remove_toxic,
            },
        }
        if strict:
            for route in [route for route in self._routes if "connections" in route]:
                del self._routes[route]

    async def handle(self, request: Request) -> Response:
        clean = _cleaned(request.path)
        if clean != request.path:
            query = request.target.partition("?")[1:]
            location = quote(clean, safe="/:@!$&'()*+,;=~") + "".join(query)
            return Response(301, headers=(("Location", location),))
        segments = request.path.removeprefix("/").split("/")
        if segments == ["metrics"] and self._metrics.enabled:
            return self._identified(request) or Response(
                200, self._metrics.text(), CONTENT_TYPE, _request_id()
            )
        methods = self._route(segments)
        if methods is None:
            return Response(404, b"404 page not found\n", TEXT, _NOSNIFF)
        handler = methods.get(request.method)
        if handler is None:
            return Response(405)
        refused = self._identified(request)
        if refused is not None:
            return refused
        try:
            response = await handler(request, segments[1::2])
        except PopulateError as error:
            body = {
                "error": error.message,
                "status": error.status,
                "proxies": _documents(error.done),
            }
            response = Response(error.status, _json(body), _JSON)
        except ApiError as error:
            document = {"error": error.message, "status": error.status}
            if segments == ["populate"]:
                response = Response(error.status, _json({**document, "proxies": None}), _JSON)
            else:
                response = Response(error.status, _json(document) + b"\n", TEXT, _NOSNIFF)
        return Response(
            response.status, response.body, response.content_type, response.headers + _request_id()
        )

    def _route(self, segments: Sequence[str]) -> Mapping[str, _Handler] | None:
        if not all(segments):
            return None
        literal = segments[2:] == ["connections", "reset"]
        return self._routes.get(
            tuple("*" if at == 1 or (at == 3 and not literal) else word for at, word in enumerate(segments))
        )

    def _identified(self, request: Request) -> Response | None:
        """A refusal for browsers: a page that somebody looks at must not be able to drive the proxies."""
        if not request.headers.get("user-agent", "").startswith("Mozilla/"):
            return None
        return Response(403, b"User agent not allowed\n", TEXT, _NOSNIFF + _request_id())

    async def _version(self, request: Request, names: Sequence[str]) -> Response:
        version = STRICT_VERSION if self._strict else VERSION
        # The space and the newline are part of the contract: clients have compared this text.
        return Response(200, f'{{"version": "{version}"}}\n'.encode(), "application/json;charset=utf-8")

    async def _list(self, request: Request, names: Sequence[str]) -> Response:
        return _ok({proxy.name: proxy.document() for proxy in self._proxies.all})

    async def _create(self, request: Request, names: Sequence[str]) -> Response:
        proxy = await self._proxies.create(self._proxy_in(request))
        return _ok(proxy.document(), 201)

    async def _populate(self, request: Request, names: Sequence[str]) -> Response:
        done = await self._proxies.populate(self._proxy_in(request))
        return _ok({"proxies": _documents(done)}, 201)

    async def _reset(self, request: Request, names: Sequence[str]) -> Response:
        await self._proxies.reset()
        return Response(204)

    async def _show(self, request: Request, names: Sequence[str]) -> Response:
        return _ok(self._proxies.find(names[0]).document())

    async def _update(self, request: Request, names: Sequence[str]) -> Response:
        self._warn_of_post(request)
        proxy = self._proxies.find(names[0])
        await self._proxies.update(proxy, self._proxy_in(request))
        return _ok(proxy.document())

    async def _delete(self, request: Request, names: Sequence[str]) -> Response:
        self._proxies.delete(self._proxies.find(names[0]))
        return Response(204)

    async def _toxics(self, request: Request, names: Sequence[str]) -> Response:
        proxy = self._proxies.find(names[0])
        return _ok([proxy.toxic_document(toxic) for toxic in proxy.toxics])

    async def _add_toxic(self, request: Request, names: Sequence[str]) -> Response:
        proxy = self._proxies.find(names[0])
        return _ok(proxy.toxic_document(proxy.add_from(self._toxic_in(request))))

    async def _show_toxic(self, request: Request, names: Sequence[str]) -> Response:
        proxy = self._proxies.find(names[0])
        return _ok(proxy.toxic_document(proxy.find(names[1])))

    async def _update_toxic(self, request: Request, names: Sequence[str]) -> Response:
        self._warn_of_post(request)
        proxy = self._proxies.find(names[0])
        toxic = proxy.find(names[1])
        proxy.update(toxic, self._toxic_in(request))
        return _ok(proxy.toxic_document(toxic))

    async def _remove_toxic(self, request: Request, names: Sequence[str]) -> Response:
        proxy = self._proxies.find(names[0])
        proxy.remove(proxy.find(names[1]))
        return Response(204)

    async def _all_connections(self, request: Request, names: Sequence[str]) -> Response:
        return _ok({proxy.name: proxy.traffic() for proxy in self._proxies.all})

    async def _connections(self, request: Request, names: Sequence[str]) -> Response:
        return _ok(self._proxies.find(names[0]).traffic())

    async def _reset_connections(self, request: Request, names: Sequence[str]) -> Response:
        return _ok({"connections": self._proxies.find(names[0]).reset_connections()})

    def _proxy_in(self, request: Request) -> Any:
        value = decode(request.body)
        return proxy_only(value) if self._strict else value

    def _toxic_in(self, request: Request) -> Any:
        value = decode(request.body)
        return toxic_only(value) if self._strict else value

    def _warn_of_post(self, request: Request) -> None:
        if request.method == "POST" and not self._warned:
            self._warned = True
            log.info(
                "POST to change a proxy or a toxic is deprecated by Toxiproxy: use PATCH (%s)", request.path
            )


def _cleaned(path: str) -> str:
    """The path without empty, `.` and `..` segments; a slash at the end stays. Others are redirected to it."""
    if path == "*":
        return path
    clean = posixpath.normpath("/" + path.lstrip("/"))
    return clean + "/" if path.endswith("/") and clean != "/" else clean


def _request_id() -> tuple[tuple[str, str], ...]:
    return (("X-Toxiproxy-Request-Id", secrets.token_hex(10)),)


def _documents(proxies: Sequence[Proxy]) -> list[dict[str, Any]] | None:
    """Go writes an empty list that was never made as null."""
    return [proxy.document() for proxy in proxies] or None


def _ok(document: Any, status: int = 200) -> Response:
    return Response(status, _json(document), _JSON)


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
