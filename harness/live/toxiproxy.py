"""The HTTP API of a Toxiproxy-compatible server, as far as live runs need it."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import aiohttp
from pydantic import TypeAdapter

from harness.faults.primitives import FaultFailed
from harness.live.kernel.namespaces import MakeSocket

FOREVER_MS = 86_400_000
"""A latency of a day holds everything back, in order, until it is removed."""

MAX_REQUESTS = 16
"""Requests to the server at a time."""


@dataclass(frozen=True, slots=True)
class Toxic:
    """A toxic as the API takes it. `stream`: `upstream`, from the initiator of a connection, or `downstream`, back."""

    name: str
    type: str
    stream: str
    attributes: Mapping[str, int | str]

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "toxicity": 1.0}


@dataclass(frozen=True, slots=True)
class Traffic:
    """What passed through a proxy so far: bytes received from each side, connections accepted and open now."""

    upstream_bytes: int = 0
    downstream_bytes: int = 0
    accepted: int = 0
    open: int = 0
    unanswered: int = 0
    """Connects that got no answer, including those that TCP repeated."""


_TRAFFIC = TypeAdapter(Traffic)


class ToxiproxyApi:
    """`url`: of the server's API. Every failure is FaultFailed, with the server's message.

    `sockets` makes the sockets that reach it.
    """

    extended = True
    """Whether the server has the additions of docs/toxiproxy.md."""

    def __init__(self, url: str, sockets: MakeSocket = socket.socket) -> None:
        self.url = url.rstrip("/")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_REQUESTS, socket_factory=lambda at: sockets(*at[:3])),
            timeout=aiohttp.ClientTimeout(total=30),
            headers={"User-Agent": "harness"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._session.close()

    async def version(self) -> str:
        return await self._call("GET", "/version")

    async def populate(self, proxies: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Create many proxies, with their toxics where the server can do that. Returns their documents."""
        answer = await self._json("POST", "/populate", list(proxies))
        made: Sequence[Mapping[str, Any]] = answer["proxies"]
        return made

    async def enable(self, proxy: str, enabled: bool, *, drain: bool = False) -> None:
        """Accept connects, or refuse them: then open connections are closed, or with `drain`, stay until their upstream
        ends them."""
        change = {"enabled": enabled, "drain": True} if drain else {"enabled": enabled}
        await self._json("PATCH", f"/proxies/{proxy}", change)

    async def accept(self, proxy: str, accepting: bool) -> None:
        """Answer connects, or leave them without an answer, so that they time out. Open connections go on."""
        await self._json("PATCH", f"/proxies/{proxy}", {"accepting": accepting})

    async def delete(self, proxy: str) -> None:
        await self._call("DELETE", f"/proxies/{proxy}")

    async def add(self, proxy: str, toxic: Toxic) -> None:
        await self._json("POST", f"/proxies/{proxy}/toxics", toxic.document())

    async def remove(self, proxy: str, toxic: str) -> None:
        await self._call("DELETE", f"/proxies/{proxy}/toxics/{toxic}")

    async def reset_connections(self, proxy: str) -> int:
        """RST both ends of every open connection. Returns how many there were."""
        answer = await self._json("POST", f"/proxies/{proxy}/connections/reset", None)
        return int(answer["connections"])

    async def traffic(self) -> dict[str, Traffic]:
        """By proxy."""
        answer = await self._json("GET", "/connections", None)
        return {name: _TRAFFIC.validate_python(counts) for name, counts in answer.items()}

    async def traffic_of(self, proxy: str) -> Traffic:
        return _TRAFFIC.validate_python(await self._json("GET", f"/proxies/{proxy}/connections", None))

    async def _json(self, method: str, path: str, body: object) -> Any:
        return await self._request(method, path, body, as_json=True)

    async def _call(self, method: str, path: str) -> str:
        text: str = await self._request(method, path, None, as_json=False)
        return text

    async def _request(self, method: str, path: str, body: object, *, as_json: bool) -> Any:
        try:
            async with self._session.request(
                method, self.url + path, json=body if body is not None else None
            ) as answer:
                if answer.status >= 300:
                    text = (await answer.text()).strip()
                    raise FaultFailed(f"the proxy server answered {answer.status} to {method} {path}: {text}")
                return await answer.json(content_type=None) if as_json else await answer.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise FaultFailed(
                f"the proxy server at {self.url} did not answer {method} {path}: {type(error).__name__}: {error}"
            ) from error
