"""`SimHost`: the world as a service or a client sees it in virtual time."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
from aiohttp import web

from harness.runtimes.sim.guards import EPOCH_S
from harness.runtimes.sim.interference import Interference
from harness.runtimes.sim.loop import SimLoop
from harness.runtimes.sim.process import Process
from harness.system import Topology

# Unhandled errors of request handlers are counted by the runtime (a 500 is what the caller sees).
logger = logging.getLogger("harness.sim.http")

type Emit = Callable[[str, object], None]


class SimClock:
    """Seconds since the run began; the nodes start a little earlier, at negative times."""

    def __init__(self, loop: SimLoop, origin_s: float) -> None:
        self._loop = loop
        self._origin_s = origin_s

    def now(self) -> float:
        return self._loop.now_s - self._origin_s

    def wall(self) -> datetime:
        return datetime.fromtimestamp(EPOCH_S + self._loop.now_s, UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SimDisk:
    """Kept by the runtime, so it outlives the process."""

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}

    async def read(self, key: str) -> bytes | None:
        return self._data.get(key)

    async def write(self, key: str, data: bytes) -> None:
        self._data[key] = bytes(data)


class SimHost:
    """One incarnation of one process. See `harness.system.Host`."""

    def __init__(
        self,
        *,
        name: str,
        role: str,
        zone: str,
        group: str | None,
        config: Mapping[str, Any],
        topology: Topology,
        clock: SimClock,
        rng: random.Random,
        disk: SimDisk,
        emit: Emit,
        safeguards: Mapping[str, bool],
        interference: Interference,
    ) -> None:
        self.name, self.role, self.zone, self.group = name, role, zone, group
        self.config, self.topology = config, topology
        self.clock, self.rng, self.disk = clock, rng, disk
        self.ready = asyncio.Event()
        self._emit = emit
        self._safeguards = safeguards
        self._interference = interference
        self._process = Process.current()
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def serve(self, app: web.Application, *, port: int = 80) -> None:
        app.middlewares.insert(0, self._interference.middleware(self.clock))
        runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=0.1, logger=logger
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, port=port).start()
            self.ready.set()
            await asyncio.get_running_loop().create_future()
        finally:
            await runner.cleanup()

    def http(self, dependency: str) -> aiohttp.ClientSession:
        session = self._sessions.get(dependency)
        if session is None:
            # No cache of names, so that the addresses stay in the order of nearness; exact timeouts.
            connector = aiohttp.TCPConnector(
                resolver=aiohttp.ThreadedResolver(),
                use_dns_cache=False,
                timeout_ceil_threshold=math.inf,
            )
            session = aiohttp.ClientSession(
                f"http://{dependency}/",
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=300, sock_connect=30, ceil_threshold=math.inf),
            )
            self._sessions[dependency] = session
        return session

    def emit(self, record: object) -> None:
        if self._process is None or self._process.alive:
            self._emit(self.name, record)

    def safeguard(self, name: str) -> bool:
        try:
            return self._safeguards[name]
        except KeyError:
            raise KeyError(
                f"the system declares no safeguard '{name}'; it has {', '.join(self._safeguards) or 'none'}"
            ) from None

    async def close(self) -> None:
        """Close the client sessions."""
        for session in self._sessions.values():
            await session.close()
