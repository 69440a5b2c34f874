"""`BaseHost`: what the hosts of every runtime have in common (`harness.system.Host`)."""

from __future__ import annotations

import asyncio
import math
import random
import socket
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import aiohttp
from aiohttp import web
from aiohttp.abc import AbstractResolver

from harness.errors import HarnessError, InvalidValue
from harness.faults.primitives import HostIdentity
from harness.runtime.asgi import as_aiohttp
from harness.runtime.causation import current_cause, health_check, is_health_check, note_record
from harness.runtime.charges import Charges
from harness.runtime.interference import Interference
from harness.runtime.processor import Processor
from harness.system import Clock, Disk, Event, Row, System
from harness.system.host import AsgiApplication
from harness.text import caller_place, did_you_mean

SHUTDOWN_S = 1.0
"""How long a server that is stopped waits for the requests under way."""

_TIMEOUT = aiohttp.ClientTimeout(total=300, sock_connect=30, ceil_threshold=math.inf)
"""aiohttp's defaults, but exact: it rounds time-outs above 5 s up to a whole second of the loop."""


class HostError(HarnessError):
    """A service or a client asks its host for something that does not exist, or that it may not have.

    The run is an error, whatever catches this.
    """


class HostContext(Protocol):
    """What the hosts of one process share."""

    @property
    def system(self) -> System: ...
    @property
    def safeguards(self) -> Mapping[str, bool]:
        """Every declared safeguard: whether it is on in this run."""
        ...

    @property
    def clock(self) -> Clock: ...

    def emit(self, host: str, row: Row) -> None:
        """HostError for a row that cannot be sent."""

    def misuse(self, host: str, error: str) -> None:
        """A service or a client has used its host wrongly: the run is an error."""

    def consulted(self, host: str, safeguard: str) -> None:
        """A service or a client has asked whether this safeguard is on."""


class MemoryDisk:
    """A disk that lives as long as `data`, which its owner may keep."""

    def __init__(self, data: dict[str, bytes] | None = None) -> None:
        self._data = {} if data is None else data

    async def read(self, key: str) -> bytes | None:
        return self._data.get(key)

    async def write(self, key: str, data: bytes) -> None:
        self._data[key] = bytes(data)


class _NodeClock:
    """The clock of a node, whose date and time may be skewed."""

    def __init__(self, clock: Clock, interference: Interference) -> None:
        self.now, self.sleep = clock.now, clock.sleep
        self._wall = clock.wall
        self._skew_s = interference.skew_s

    def wall(self) -> datetime:
        return self._wall() + timedelta(seconds=self._skew_s(self.now()))


class _Connector(aiohttp.TCPConnector):
    """It knows which request it connects for: a health check that a service makes by itself is marked as such."""

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> Any:
        if current_cause() is None and is_health_check(req.url.path):
            with health_check():
                return await super().connect(req, traces, timeout)
        return await super().connect(req, traces, timeout)


class BaseHost(ABC):
    """One process of a node, or one client.

    `processor`, `charges` and `interference` are those of a node; a client has a core of its own and cannot serve.
    `traces` see every request that it makes.
    A runtime says where the host listens and what its connections are made of.
    """

    def __init__(
        self,
        context: HostContext,
        identity: HostIdentity,
        *,
        config: Mapping[str, Any],
        rng: random.Random,
        disk: Disk,
        processor: Processor | None = None,
        charges: Charges | None = None,
        interference: Interference | None = None,
        traces: Sequence[aiohttp.TraceConfig] = (),
    ) -> None:
        self._context = context
        self._identity = identity
        self._processor = processor
        self._charges = charges
        self.name, self.role = identity.name, identity.role
        self.zone, self.group = identity.zone, identity.group
        self.config = config
        self.topology = context.system.topology
        self.clock: Clock = context.clock if interference is None else _NodeClock(context.clock, interference)
        self.rng = rng
        self.disk = disk if interference is None else interference.disk(disk)
        self._interference = interference
        self._traces = list(traces)
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    # ------------------------------------------------------------------ what differs between runtimes

    @abstractmethod
    def _site(self, runner: web.AppRunner, port: int) -> web.TCPSite:
        """Where the application listens."""

    @abstractmethod
    def _listening(self, port: int) -> None:
        """The application listens: the node is ready."""

    @abstractmethod
    def ready(self) -> None:
        """The service says that its node is ready."""

    @abstractmethod
    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        """A socket for one connection attempt (aiohttp's `socket_factory`)."""

    def _resolver(self) -> AbstractResolver | None:
        """The resolver of a session; None for that of the loop."""
        return None

    # ------------------------------------------------------------------ what services use

    async def serve(self, app: web.Application | AsgiApplication, *, port: int = 80) -> None:
        """Listen, report this node as ready, and serve until cancelled.

        HostError for a client, or for an application that was served before; UnknownRoute for `Node.costs` that do
        not fit the application.
        """
        if self._interference is None:
            raise self._misuse("a client cannot serve; only nodes of the topology do")
        if not isinstance(app, web.Application):
            if not callable(app):
                what = f"{type(app).__qualname__}, which is neither"
                raise self._misuse(f"host.serve takes an aiohttp or an ASGI application; this is a {what}")
            app = as_aiohttp(app)
        if app.frozen:
            raise self._misuse(
                "this web.Application was served before; make a new one in the service function"
            )
        self._interference.install(app)
        if self._charges is not None:
            self._charges.install(app)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        try:
            await self._site(runner, port).start()
            self._listening(port)
            await asyncio.get_running_loop().create_future()
        finally:
            await runner.cleanup()

    async def work(self, seconds: float, *, start_within_s: float | None = None) -> None:
        if self._processor is None:
            loop = asyncio.get_running_loop()
            self._processor = Processor(self._identity, 1, loop, self.clock.now, lambda _: None)
        try:
            await self._processor.work(seconds, start_within_s=start_within_s)
        except InvalidValue as error:
            self._misuse(str(error))
            raise

    def http(self, dependency: str) -> aiohttp.ClientSession:
        """The session for one dependency; HostError when no role or node has that name.

        aiohttp's own defaults (100 connections, kept alive for 15 s idle), without a name cache, so that every new
        connection tries the nodes of a role in order, and with exact time-outs. Note that aiohttp silently repeats
        an idempotent request once when a kept-alive connection turns out to be closed or reset: a server may have
        executed it twice.
        """
        session = self._sessions.get(dependency)
        if session is None:
            self._check_known(dependency)
            session = self._sessions[dependency] = aiohttp.ClientSession(
                base_url=f"http://{dependency}/",
                connector=_Connector(
                    resolver=self._resolver(),
                    use_dns_cache=False,
                    timeout_ceil_threshold=math.inf,
                    socket_factory=self._socket,
                ),
                timeout=_TIMEOUT,
                trace_configs=self._traces,
            )
        return session

    async def address(self, dependency: str, port: int) -> tuple[str, int]:
        """An IP address and a port of a node, or of the first node of a role."""
        self._check_known(dependency)
        loop = asyncio.get_running_loop()
        first, *_ = await loop.getaddrinfo(dependency, port, type=socket.SOCK_STREAM)
        ip, number, *_ = first[4]
        return str(ip), int(number)

    def _check_known(self, dependency: str) -> None:
        known = (*self.topology.roles, *(node.name for node in self.topology.nodes))
        if dependency not in known:
            hint = did_you_mean(dependency, known, before="; ")
            raise self._misuse(
                f"no role or node '{dependency}' in system {self._context.system.name}; "
                f"it has {', '.join(dict.fromkeys(known)) or 'none'}{hint}"
            )

    def emit(self, record: Row) -> None:
        """Record a row. One that the system does not declare makes the run an error."""
        if (problem := self._row_problem(record)) is not None:
            self._misuse(problem)
            return
        if not isinstance(record, Event):
            note_record()
        try:
            self._context.emit(self.name, record)
        except HostError as error:
            self._misuse(str(error))

    def _row_problem(self, record: Row) -> str | None:
        system = self._context.system
        if not isinstance(record, Event):
            if type(record) in system.tables.values():
                return None
            tables = ", ".join(f"{name} ({table.__qualname__})" for name, table in system.tables.items())
            return (
                f"emitted a {type(record).__qualname__}, which is no row of a table in System.tables; "
                f"declared: {tables or 'none'}"
            )
        if record.name not in system.events:
            declared = ", ".join(system.events) or "none"
            return f"emitted event '{record.name}', which is not in System.events; declared: {declared}"
        for key, value in record.fields.items():
            if not isinstance(value, str | int | float | None):
                return (
                    f"emitted event '{record.name}' with a {type(value).__qualname__} as '{key}'; "
                    "allowed: text, numbers, booleans, None"
                )
        return None

    def safeguard(self, name: str) -> bool:
        """Whether a safeguard is on. HostError when the system does not declare it."""
        declared = self._context.safeguards
        if name not in declared:
            raise self._misuse(
                f"no safeguard '{name}' in System.safeguards of {self._context.system.name}; "
                f"it declares {', '.join(declared) or 'none'}"
            )
        self._context.consulted(self.name, name)
        return declared[name]

    def _misuse(self, problem: str) -> HostError:
        """Report a misuse of this host at once, with the place of the caller. Returns the error to raise."""
        error = HostError(problem)
        self._context.misuse(self.name, f"{HostError.__name__}: {error} ({caller_place()})")
        return error

    async def close(self) -> None:
        """Close the client sessions. Idempotent."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()
