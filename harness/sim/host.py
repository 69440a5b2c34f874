"""`SimHost`: a process's view of the world in virtual time (`harness.system.Host`)."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from aiohttp import web

from harness.runtime.charges import Charges
from harness.runtime.host import BaseHost, MemoryDisk
from harness.runtime.interference import Interference
from harness.runtime.journal import Journal
from harness.runtime.processor import Processor
from harness.sim.loop import SimLoop
from harness.sim.process import Process
from harness.sim.virtual_functions import EPOCH
from harness.system import Row, System


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


class SimDisk(MemoryDisk):
    """`data` belongs to the machine and outlives its processes; a dead process writes nothing."""

    def __init__(self, data: dict[str, bytes], process: Process) -> None:
        super().__init__(data)
        self._process = process

    async def write(self, key: str, data: bytes) -> None:
        if self._process.alive:
            await super().write(key, data)


@dataclass(frozen=True, slots=True)
class SimContext:
    """What all hosts of one run share (`harness.runtime.host.HostContext`)."""

    loop: SimLoop
    clock: SimClock
    system: System
    seed: int
    safeguards: Mapping[str, bool]
    journal: Journal

    def emit(self, host: str, row: Row) -> None:
        self.journal.emit(host, row)

    def misuse(self, host: str, error: str) -> None:
        self.journal.misuse(host, error)

    def consulted(self, host: str, safeguard: str) -> None:
        self.journal.consulted(safeguard)


class SimHost(BaseHost):
    """One incarnation of a node, or one client, in the machine of `process`. `ready` is called when it listens."""

    def __init__(
        self,
        context: SimContext,
        process: Process,
        *,
        config: Mapping[str, Any],
        rng: random.Random,
        disk: dict[str, bytes],
        processor: Processor | None = None,
        charges: Charges | None = None,
        interference: Interference | None = None,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(
            context,
            process.machine.identity,
            config=config,
            rng=rng,
            disk=SimDisk(disk, process),
            processor=processor,
            charges=charges,
            interference=interference,
        )
        self._process = process
        self._ready = ready

    def _site(self, runner: web.AppRunner, port: int) -> web.TCPSite:
        return web.TCPSite(runner, port=port)

    def _listening(self, port: int) -> None:
        self._ready()

    def ready(self) -> None:
        self._ready()

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        return cast("socket.socket", _PlaceholderSocket())

    def emit(self, record: Row) -> None:
        if self._process.alive:
            super().emit(record)


class _PlaceholderSocket:
    """Stands for a connection between `sock_connect` and `create_connection`; makes no system call."""

    def setblocking(self, flag: bool) -> None:
        pass

    def close(self) -> None:
        pass

    def fileno(self) -> int:
        return -1
