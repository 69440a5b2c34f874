"""`SimHost`: a process's view of the world in virtual time (`harness.system.Host`)."""

from __future__ import annotations

import asyncio
import difflib
import math
import random
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import aiohttp
from aiohttp import web

from harness.faults.primitives import HostIdentity
from harness.runtime.interference import Interference
from harness.runtime.journal import Journal
from harness.sim.determinism import EPOCH
from harness.sim.loop import SimLoop
from harness.sim.process import Process
from harness.system import Row, System, Topology

SHUTDOWN_S = 1.0
"""How long a server that is asked to stop waits for requests under way."""


class SimClock:
    """Seconds since the run began, `origin_s` after the loop did: nodes start at negative times."""

    def __init__(self, loop: SimLoop, origin_s: float) -> None:
        self._loop = loop
        self._origin_s = origin_s

    def now(self) -> float:
        return self._loop.now_s - self._origin_s

    def wall(self) -> datetime:
        return EPOCH + timedelta(seconds=self._loop.now_s)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SimDisk:
    """`data` belongs to the machine and outlives its processes; a dead process writes nothing any more."""

    def __init__(self, data: dict[str, bytes], process: Process) -> None:
        self._data = data
        self._process = process

    async def read(self, key: str) -> bytes | None:
        return self._data.get(key)

    async def write(self, key: str, data: bytes) -> None:
        if self._process.alive:
            self._data[key] = bytes(data)


@dataclass(frozen=True, slots=True)
class World:
    """What all hosts of one run share."""

    loop: SimLoop
    clock: SimClock
    system: System
    seed: int
    safeguards: Mapping[str, bool]
    """Every declared one: whether it is on in this run."""
    journal: Journal


class SimHost:
    """One incarnation of a node, or one client. Made in the runtime, handed to the service."""

    def __init__(
        self,
        world: World,
        peer: HostIdentity,
        process: Process,
        *,
        config: Mapping[str, Any],
        rng: random.Random,
        disk: dict[str, bytes],
        interference: Interference | None = None,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._world = world
        self._peer = peer
        self._process = process
        self._config = config
        self._rng = rng
        self._disk = SimDisk(disk, process)
        self._interference = interference
        self._ready = ready
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
        return self._world.system.topology

    @property
    def clock(self) -> SimClock:
        return self._world.clock

    @property
    def rng(self) -> random.Random:
        return self._rng

    @property
    def disk(self) -> SimDisk:
        return self._disk

    async def serve(self, app: web.Application, *, port: int = 80) -> None:
        """Listen, tell the runtime that this node is ready, and serve until cancelled.

        RuntimeError for a client, and for an application that was served before.
        """
        if self._interference is None:
            raise RuntimeError(f"{self.name} is a client; only nodes of the topology serve")
        self._interference.put_before(app)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, port=port).start()
            self._ready()
            await self._world.loop.create_future()
        finally:
            await runner.cleanup()

    def http(self, dependency: str) -> aiohttp.ClientSession:
        """The session for one dependency; LookupError when no role or node has that name.

        aiohttp's own defaults (100 connections, kept alive for 15 s idle), without a name cache, so that
        every new connection tries the nodes of a role in order, and with exact time-outs. Note that aiohttp
        silently repeats an idempotent request once when a kept-alive connection turns out to be closed or
        reset: a server may have executed it twice.
        """
        session = self._sessions.get(dependency)
        if session is None:
            self._check_known(dependency)
            session = self._sessions[dependency] = aiohttp.ClientSession(
                base_url=f"http://{dependency}/",
                connector=aiohttp.TCPConnector(
                    use_dns_cache=False,
                    timeout_ceil_threshold=math.inf,
                    socket_factory=lambda _address: cast("socket.socket", _Plug()),
                ),
                timeout=aiohttp.ClientTimeout(total=300, sock_connect=30, ceil_threshold=math.inf),
            )
        return session

    def _check_known(self, dependency: str) -> None:
        topology = self.topology
        known = (*topology.roles, *(node.name for node in topology.nodes))
        if dependency not in known:
            near = difflib.get_close_matches(dependency, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise LookupError(
                f"{self.name} asks for '{dependency}', but no role or node of {self._world.system.name} has "
                f"that name; there are {', '.join(dict.fromkeys(known)) or 'none'}{hint}"
            )

    def emit(self, record: Row) -> None:
        if self._process.alive:
            self._world.journal.emit(self.name, self.role, record)

    def safeguard(self, name: str) -> bool:
        try:
            return self._world.safeguards[name]
        except KeyError:
            raise KeyError(
                f"no safeguard '{name}' in System.safeguards of {self._world.system.name}; "
                f"it declares {', '.join(self._world.safeguards) or 'none'}"
            ) from None

    async def close(self) -> None:
        """Close the client sessions. Idempotent."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()


class _Plug:
    """Stands for a connection between `sock_connect` and `create_connection`; no system call is made."""

    def setblocking(self, flag: bool) -> None:
        pass

    def close(self) -> None:
        pass

    def fileno(self) -> int:
        return -1
