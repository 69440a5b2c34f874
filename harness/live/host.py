"""`LiveHost`: a process's view of the real world (`harness.system.Host`), for nodes and for clients."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from harness.faults.exposure import Cause
from harness.faults.primitives import HostIdentity
from harness.live.kernel.namespaces import MakeSocket
from harness.live.names import Names, Router, names_of_host, real_port
from harness.runtime.causation import HEADER, current_cause
from harness.runtime.charges import Charges
from harness.runtime.host import BaseHost, HostContext
from harness.runtime.interference import Interference
from harness.runtime.processor import Processor
from harness.system import Disk


class LiveClock:
    """Seconds since run time 0, which is `origin_s` on the machine's monotonic clock (all processes share it)."""

    def __init__(self, origin_s: float) -> None:
        self._origin_s = origin_s
        # The loop's time is the machine's monotonic clock.
        self._time = asyncio.get_running_loop().time

    def now(self) -> float:
        return self._time() - self._origin_s

    def wall(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class DirectoryDisk:
    """One file for each key. A write is atomic, also when the process is killed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def read(self, key: str) -> bytes | None:
        try:
            return self._file(key).read_bytes()
        except FileNotFoundError:
            return None

    async def write(self, key: str, data: bytes) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        temporary = self._directory / ".new"
        temporary.write_bytes(data)
        os.replace(temporary, self._file(key))

    def _file(self, key: str) -> Path:
        return self._directory / ("k" + quote(key, safe=""))


class LiveContext(HostContext, Protocol):
    """What the hosts of one process of a live run share."""

    @property
    def attempts(self) -> Counter[str]:
        """Connection attempts by node, counted by the hosts."""
        ...


def _cause_trace(*, is_client: bool) -> aiohttp.TraceConfig:
    """Tells the node that is asked who caused a request. What a node asks by itself has no header."""

    async def begin(_: aiohttp.ClientSession, __: object, request: aiohttp.TraceRequestStartParams) -> None:
        if (cause := Cause.CLIENT if is_client else current_cause()) is not None:
            request.headers[HEADER] = cause.name

    config = aiohttp.TraceConfig()
    config.on_request_start.append(begin)
    return config


class LiveHost(BaseHost):
    """One process of a node, or one client in the harness's own process.

    `address` is that of a node; a client has none. `router` finds nodes: every connection goes through a proxy of
    this host's own. `sockets` makes those that it connects with.
    """

    def __init__(
        self,
        context: LiveContext,
        identity: HostIdentity,
        *,
        config: Mapping[str, Any],
        rng: random.Random,
        disk: Disk,
        router: Router,
        address: str | None = None,
        processor: Processor | None = None,
        charges: Charges | None = None,
        interference: Interference | None = None,
        ready: Callable[[int | None], None] = lambda _: None,
        sockets: MakeSocket = socket.socket,
        traces: Sequence[aiohttp.TraceConfig] = (),
    ) -> None:
        super().__init__(
            context,
            identity,
            config=config,
            rng=rng,
            disk=disk,
            processor=processor,
            charges=charges,
            interference=interference,
            traces=(_cause_trace(is_client=address is None), *traces),
        )
        self._attempts = context.attempts
        self._router = router
        self._address = address
        self._ready = ready
        self._sockets = sockets
        self._nodes_at: dict[tuple[str, int], str] = {}

    def _site(self, runner: web.AppRunner, port: int) -> web.TCPSite:
        # A powered-off node is replaced by a listener at the same place before this process is killed.
        return web.TCPSite(
            runner, self._address, real_port(port), reuse_address=True, reuse_port=True, backlog=1024
        )

    def _listening(self, port: int) -> None:
        self._ready(port)

    def ready(self) -> None:
        self._ready(None)

    def use_names(self, addresses: Mapping[str, str]) -> Callable[[], None]:
        """Any library resolves the names of nodes and roles in this context (`harness.live.names`). Returns its undo.

        `addresses`: of the nodes, by name.
        """
        nodes = frozenset((*self.topology.roles, *(node.name for node in self.topology.nodes)))
        return names_of_host(
            Names(
                nodes,
                addresses,
                self._router,
                self._attempts,
                self._interference,
                self._sockets,
                self._address,
                self._ready,
            )
        )

    async def address(self, dependency: str, port: int) -> tuple[str, int]:
        self._check_known(dependency)
        first, *_ = await self._router(dependency, port)
        return first.host, first.port

    def _resolver(self) -> AbstractResolver:
        return _Resolver(self._router, self._nodes_at, self._interference)

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        """Count the connection attempt."""
        family, kind, protocol, _, (host, port, *_) = address
        if node := self._nodes_at.get((host, port)):
            self._attempts[node] += 1
        return self._sockets(family, kind, protocol)


class _Resolver(AbstractResolver):
    """Names to proxies; `nodes_at` remembers which node is behind which address."""

    def __init__(
        self, router: Router, nodes_at: dict[tuple[str, int], str], interference: Interference | None
    ) -> None:
        self._interference = interference
        self._router = router
        self._nodes_at = nodes_at

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        asked = host if self._interference is None else await self._interference.look_up(host)
        time = asyncio.get_running_loop().time
        began_s = time()
        addresses = await self._router(asked, port)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, f"Name or service not known: '{host}'")
        # A proxy accepts at once, whatever its latency. So every new connection waits here for as long as the
        # handshake takes, less what making the proxy has taken.
        await asyncio.sleep(max(0.0, began_s + addresses[0].rtt_s - time()))
        for each in addresses:
            self._nodes_at[each.host, each.port] = each.node
        return [
            ResolveResult(
                hostname=host, host=each.host, port=each.port, family=socket.AF_INET, proto=0, flags=0
            )
            for each in addresses
        ]

    async def close(self) -> None:
        pass
