"""`LiveHost`: a process's view of the real world (`harness.system.Host`), for nodes and for clients."""

from __future__ import annotations

import asyncio
import difflib
import math
import os
import random
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from harness.faults.primitives import HostIdentity
from harness.live.kernel.namespaces import MakeSocket
from harness.live.messages import Address
from harness.runtime.interference import Interference
from harness.system import Disk, Row, Topology

SHUTDOWN_S = 1.0
"""How long a server that is asked to stop waits for requests under way."""

PRIVILEGED = 1024
SHIFT = 8000
"""Ports below 1024 are moved up by so much: every node has an address of its own, so 80 becomes 8080."""


def real_port(port: int) -> int:
    """Where a node really listens when its service asks for `port`."""
    return port if port >= PRIVILEGED else port + SHIFT


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
    """One file a key; a write is there completely or not at all, also when the process is killed."""

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


class MemoryDisk:
    """The disk of a client, which nothing outlives."""

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}

    async def read(self, key: str) -> bytes | None:
        return self._data.get(key)

    async def write(self, key: str, data: bytes) -> None:
        self._data[key] = bytes(data)


class World(Protocol):
    """What a host needs of the process it lives in."""

    @property
    def system_name(self) -> str: ...
    @property
    def topology(self) -> Topology: ...
    @property
    def safeguards(self) -> Mapping[str, bool]: ...
    @property
    def clock(self) -> LiveClock: ...
    @property
    def attempts(self) -> Counter[str]:
        """Connection attempts by node; counted here."""
        ...

    def emit(self, host: str, role: str, row: Row) -> None: ...


type Router = Callable[[str, int], Awaitable[Sequence[Address]]]
"""Addresses of a role or node name and port, in the order to be tried."""


class LiveHost:
    """One process of a node, or one client in the harness's own process.

    `address` and `interference` are those of a node; a client has none and cannot serve. `sockets` makes those
    that it connects with; `traces` see every request that it makes.
    """

    def __init__(
        self,
        world: World,
        peer: HostIdentity,
        *,
        config: Mapping[str, Any],
        rng: random.Random,
        disk: Disk,
        router: Router,
        address: str | None = None,
        interference: Interference | None = None,
        ready: Callable[[int], None] = lambda _: None,
        sockets: MakeSocket = socket.socket,
        traces: Sequence[aiohttp.TraceConfig] = (),
    ) -> None:
        self._world = world
        self._peer = peer
        self._config = config
        self._rng = rng
        self._disk = disk
        self._router = router
        self._address = address
        self._interference = interference
        self._ready = ready
        self._sockets = sockets
        self._traces = list(traces)
        self._nodes_at: dict[tuple[str, int], str] = {}
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    @property
    def name(self) -> str:
        return self._peer.name

    @property
    def role(self) -> str:
        return self._peer.role

    @property
    def zone(self) -> str:
        return self._peer.zone

    @property
    def group(self) -> str | None:
        return self._peer.group

    @property
    def config(self) -> Mapping[str, Any]:
        return self._config

    @property
    def topology(self) -> Topology:
        return self._world.topology

    @property
    def clock(self) -> LiveClock:
        return self._world.clock

    @property
    def rng(self) -> random.Random:
        return self._rng

    @property
    def disk(self) -> Disk:
        return self._disk

    async def serve(self, app: web.Application, *, port: int = 80) -> None:
        """Listen at this node's own loopback address, tell the runtime, and serve until cancelled.

        RuntimeError for a client, and for an application that was served before.
        """
        if self._interference is None or self._address is None:
            raise RuntimeError(f"{self.name} is a client; only nodes of the topology serve")
        self._interference.put_before(app)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        try:
            # A power cut listens at the same place, in silence, before this process is killed.
            site = web.TCPSite(
                runner, self._address, real_port(port), reuse_address=True, reuse_port=True, backlog=1024
            )
            await site.start()
            self._ready(port)
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    def http(self, dependency: str) -> aiohttp.ClientSession:
        """The session for one dependency; LookupError when no role or node has that name.

        The same as in virtual time: aiohttp's defaults, no name cache, so that every new connection tries the
        nodes of a role in order. Every connection goes through a proxy of this host's own.
        """
        session = self._sessions.get(dependency)
        if session is None:
            self._check_known(dependency)
            session = self._sessions[dependency] = aiohttp.ClientSession(
                base_url=f"http://{dependency}/",
                connector=aiohttp.TCPConnector(
                    resolver=_Resolver(self._router, self._nodes_at),
                    use_dns_cache=False,
                    timeout_ceil_threshold=math.inf,
                    socket_factory=self._socket,
                ),
                timeout=aiohttp.ClientTimeout(total=300, sock_connect=30, ceil_threshold=math.inf),
                trace_configs=self._traces,
            )
        return session

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        """A socket for a connection attempt, which is counted."""
        family, kind, protocol, _, (host, port, *_) = address
        if node := self._nodes_at.get((host, port)):
            self._world.attempts[node] += 1
        return self._sockets(family, kind, protocol)

    def _check_known(self, dependency: str) -> None:
        topology = self.topology
        known = (*topology.roles, *(node.name for node in topology.nodes))
        if dependency not in known:
            near = difflib.get_close_matches(dependency, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise LookupError(
                f"{self.name} asks for '{dependency}', but no role or node of {self._world.system_name} has "
                f"that name; there are {', '.join(dict.fromkeys(known)) or 'none'}{hint}"
            )

    def emit(self, record: Row) -> None:
        self._world.emit(self.name, self.role, record)

    def safeguard(self, name: str) -> bool:
        try:
            return self._world.safeguards[name]
        except KeyError:
            raise KeyError(
                f"no safeguard '{name}' in System.safeguards of {self._world.system_name}; "
                f"it declares {', '.join(self._world.safeguards) or 'none'}"
            ) from None

    async def close(self) -> None:
        """Close the client sessions. Idempotent."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()


class _Resolver(AbstractResolver):
    """Names to proxies; `nodes_at` remembers which node is behind which address."""

    def __init__(self, router: Router, nodes_at: dict[tuple[str, int], str]) -> None:
        self._router = router
        self._nodes_at = nodes_at

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        time = asyncio.get_running_loop().time
        began_s = time()
        addresses = await self._router(host, port)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, f"Name or service not known: '{host}'")
        # A proxy accepts at once, whatever its latency. What the handshake would take is waited for here, where
        # every new connection comes by; making the proxy has taken some of it.
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
