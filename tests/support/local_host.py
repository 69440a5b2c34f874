"""A minimal real-loopback world for service tests: every node of a topology in this process.

`async with LocalWorld(nodes, without=...) as world:` starts each node on a free port of 127.0.0.1 and
resolves role and node names to it. `world.client(...)` gives a client's Host.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from harness.system import Client, Node, Topology


class LocalClock:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()

    def now(self) -> float:
        return self._loop.time() - self._start

    def wall(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class MemoryDisk:
    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}

    async def read(self, key: str) -> bytes | None:
        return self.data.get(key)

    async def write(self, key: str, data: bytes) -> None:
        self.data[key] = data


class _Resolver(AbstractResolver):
    def __init__(self, world: LocalWorld) -> None:
        self._world = world

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        names = [n.name for n in self._world.topology.nodes if host in (n.name, n.role)]
        if not names:
            raise OSError(f"no host {host}")
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=self._world.ports[name], family=family, proto=0, flags=0
            )
            for name in names
        ]

    async def close(self) -> None:
        pass


class LocalHost:
    def __init__(
        self, world: LocalWorld, name: str, role: str, zone: str, group: str | None, config: Mapping[str, Any]
    ) -> None:
        self._world = world
        self.name, self.role, self.zone, self.group, self.config = name, role, zone, group, config
        self.topology = world.topology
        self.clock = world.clock
        self.rng = random.Random(f"{world.seed}:{name}")
        self.disk = MemoryDisk()
        self.started = asyncio.Event()
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    def ready(self) -> None:
        self.started.set()

    async def serve(self, app: Any, *, port: int = 80) -> None:
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        try:
            await web.SockSite(runner, self._world.sockets[self.name]).start()
            self.started.set()
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def address(self, dependency: str, port: int) -> tuple[str, int]:
        first, *_ = await _Resolver(self._world).resolve(dependency, port)
        return first["host"], first["port"]

    async def work(self, seconds: float, *, start_within_s: float | None = None) -> None:
        if start_within_s is not None and start_within_s < 0:
            raise TimeoutError
        await asyncio.sleep(seconds)

    def http(self, dependency: str) -> aiohttp.ClientSession:
        if dependency not in self._sessions:
            self._sessions[dependency] = aiohttp.ClientSession(
                base_url=f"http://{dependency}/",
                connector=aiohttp.TCPConnector(resolver=_Resolver(self._world), use_dns_cache=False),
            )
        return self._sessions[dependency]

    def emit(self, record: object) -> None:
        self._world.records.append((self.name, record))

    def safeguard(self, name: str) -> bool:
        return name not in self._world.without

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()


class LocalWorld:
    def __init__(
        self, nodes: tuple[Node, ...], *, without: frozenset[str] = frozenset(), seed: int = 1
    ) -> None:
        self.topology = Topology(tuple(dict.fromkeys(n.zone for n in nodes)), nodes, ())
        self.without = without
        self.seed = seed
        self.records: list[tuple[str, object]] = []
        self.hosts: dict[str, LocalHost] = {}
        self.sockets: dict[str, socket.socket] = {}
        self.ports: dict[str, int] = {}
        self._tasks: dict[str, asyncio.Task[Any]] = {}

    async def __aenter__(self) -> LocalWorld:
        self.clock = LocalClock()
        for node in self.topology.nodes:
            sock = socket.create_server(("127.0.0.1", 0))
            self.sockets[node.name], self.ports[node.name] = sock, sock.getsockname()[1]
        for node in self.topology.nodes:
            host = self.hosts[node.name] = LocalHost(self, node.name, node.role, node.zone, None, node.config)
            assert node.service is not None
            self._tasks[node.name] = asyncio.ensure_future(node.service(host))
        for name, host in self.hosts.items():
            waiter = asyncio.ensure_future(host.started.wait())
            await asyncio.wait({waiter, self._tasks[name]}, return_when=asyncio.FIRST_COMPLETED)
            waiter.cancel()
            if self._tasks[name].done():
                self._tasks[name].result()
        return self

    def client(self, client: Client, role: str = "viewer") -> LocalHost:
        host = LocalHost(self, client.name, role, client.zone, client.group, client.params)
        self.hosts[client.name] = host
        return host

    async def stop(self, name: str) -> None:
        """End one node: its listener closes."""
        self._tasks[name].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._tasks[name]

    async def __aexit__(self, *_: object) -> None:
        for host in self.hosts.values():
            await host.close()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
