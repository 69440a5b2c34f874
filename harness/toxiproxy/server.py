"""A Toxiproxy server on the running loop: the API and all proxies, gone without a trace when left."""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from harness.toxiproxy.address import join_host_port
from harness.toxiproxy.api import Api
from harness.toxiproxy.clock import FineClock, clock_of
from harness.toxiproxy.collection import ProxyCollection
from harness.toxiproxy.context import ServerContext
from harness.toxiproxy.decode import decode
from harness.toxiproxy.errors import ServerStateError
from harness.toxiproxy.http import HANDLER_S, HttpServer
from harness.toxiproxy.metrics import Metrics
from harness.toxiproxy.poller import EpollPoller, poller_of
from harness.toxiproxy.strict import proxy_only

DEFAULT_PORT = 8474
DIAL_TIMEOUT_S = 10.0

log = logging.getLogger("harness.toxiproxy")


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a server holds at this moment."""

    proxies: int
    toxics: int
    connections: int


class ToxiproxyServer:
    """`async with ToxiproxyServer(port=0) as server`: serves until left.

    Args:
        host, port: of the API; port 0 picks a free one.
        seed: of toxicity, jitter and slices; drawn (and logged) when not given.
        proxy_metrics, runtime_metrics: what `/metrics` shows; with neither it is not there.
        dial_timeout_s: how long an upstream may take to accept a connection.
        strict: behave as any other Toxiproxy server: nothing that is ours alone is there.
        handler_timeout_s: how long a request may take before it is answered with 503.

    Entering raises OSError when the address cannot be listened on.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = DEFAULT_PORT,
        *,
        seed: int | None = None,
        proxy_metrics: bool = False,
        runtime_metrics: bool = False,
        dial_timeout_s: float = DIAL_TIMEOUT_S,
        strict: bool = False,
        handler_timeout_s: float = HANDLER_S,
    ) -> None:
        self.host = host
        self.port = port
        self.seed = secrets.randbits(63) if seed is None else seed
        self._metrics = Metrics(proxies=proxy_metrics, runtime=runtime_metrics, ours=not strict)
        self._strict = strict
        self._dial_timeout_s = dial_timeout_s
        self._handler_timeout_s = handler_timeout_s
        self._context: ServerContext | None = None
        self._proxies: ProxyCollection | None = None
        self._http: HttpServer | None = None
        self._undo = ExitStack()

    @property
    def url(self) -> str:
        """Of the API, with the port that was picked."""
        return f"http://{join_host_port(self.host, self.port)}"

    @property
    def statistics(self) -> Statistics:
        proxies = self._running().all
        return Statistics(
            proxies=len(proxies),
            toxics=sum(len(proxy.toxics) for proxy in proxies),
            connections=sum(proxy.connections for proxy in proxies),
        )

    async def populate(self, body: bytes) -> int:
        """Make proxies as `POST /populate` does; how many. Raises ApiError."""
        value = decode(body)
        return len(await self._running().populate(proxy_only(value) if self._strict else value))

    async def __aenter__(self) -> Self:
        if self._http is not None:
            raise ServerStateError("this ToxiproxyServer already runs; create another one")
        loop = asyncio.get_running_loop()
        with ExitStack() as undo:
            clock = clock_of(loop)
            if isinstance(clock, FineClock):
                undo.callback(clock.close)
            poller = poller_of(loop)
            if isinstance(poller, EpollPoller):
                undo.callback(poller.close)
            self._context = ServerContext(
                loop, clock, poller, self._metrics, self.seed, self._dial_timeout_s, self._strict
            )
            self._proxies = ProxyCollection(self._context)
            http = HttpServer(
                Api(self._proxies, self._metrics, strict=self._strict).handle,
                self._handler_timeout_s,
                self._context.descriptors.max_api_connections,
            )
            self.host, self.port = await http.start(self.host, self.port)
            self._undo = undo.pop_all()
        self._http = http
        log.info("API on %s, seed %d", self.url, self.seed)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._http is not None
        assert self._context is not None
        await self._http.stop()
        self._running().close()
        await asyncio.gather(*self._context.tasks, return_exceptions=True)
        self._undo.close()
        self._http = None
        log.info("stopped")

    def _running(self) -> ProxyCollection:
        if self._proxies is None:
            raise ServerStateError("this ToxiproxyServer does not run; use it in `async with`")
        return self._proxies
