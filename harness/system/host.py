"""`Host`: the only interface of a service, or a client, to the world. The same in every runtime."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

import aiohttp
from aiohttp import web

from harness.system.topology import Topology

type Scalar = str | int | float | bool | None
"""A field of an event."""


type AsgiApplication = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[Any]],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]
"""An ASGI 3.0 application: FastAPI, Starlette, ..."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something notable that happened on a host, e.g. `Event("player.failover", {"to": "edge-a-2"})`.

    `name` must be declared in `System.events`. The runtime adds when (`t_s`) and where (`host`).
    """

    name: str
    fields: Mapping[str, Scalar] = field(default_factory=dict)


type Row = object
"""An `Event`, or an instance of one of the system's table dataclasses."""


class Clock(Protocol):
    """The time of a host: virtual, or the machine's."""

    def now(self) -> float:
        """Seconds since the run began, monotonic."""
        ...

    def wall(self) -> datetime:
        """The date and time (UTC) by this host's clock, which may be skewed."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class Disk(Protocol):
    """A small durable key-value store that survives a restart of the process."""

    async def read(self, key: str) -> bytes | None: ...

    async def write(self, key: str, data: bytes) -> None: ...


@runtime_checkable
class Host(Protocol):
    """One process of the system under test, or one client.

    `zone` is where it is; `group` is the client group (e.g. a network class), None for servers;
    `config` is `Node.config`, or `Client.params` for a client.
    """

    @property
    def name(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def zone(self) -> str: ...
    @property
    def group(self) -> str | None: ...
    @property
    def config(self) -> Mapping[str, Any]: ...
    @property
    def topology(self) -> Topology: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def rng(self) -> random.Random:
        """Seeded from the run's seed and this host's name: independent of every other stream."""
        ...

    @property
    def disk(self) -> Disk: ...

    def ready(self) -> None:
        """Say that this node is ready. A node that listens on a port is ready without; a worker has none.

        Nothing to do for a client.
        """
        ...

    async def serve(self, app: web.Application | AsgiApplication, *, port: int = 80) -> None:
        """Listen, report to the runtime that this node is ready, and serve an aiohttp or ASGI application until
        cancelled."""
        ...

    async def work(self, seconds: float, *, start_within_s: float | None = None) -> None:
        """Use processor time: wait for one of the node's `cores`, first come first served, and hold it for so long.

        Exact in virtual time. Live, a permit is held for that time, and no real processor time is used up.
        TimeoutError when no core is free within `start_within_s` seconds: nothing is used then, as by a service that
        drops a request whose deadline cannot be met when it takes it from its queue.
        InvalidValue for what is not a finite time of at least 0 seconds.
        """
        ...

    def http(self, dependency: str) -> aiohttp.ClientSession:
        """The client session for one dependency (a role or a node name); made once, kept alive.

        Its base URL is `http://<dependency>/`, so `session.get("/home")` just works. A role resolves to
        all nodes of that role, those of the host's own zone first. Closed by the runtime.
        """
        ...

    async def address(self, dependency: str, port: int) -> tuple[str, int]:
        """Where this host reaches a port of a node, or of the first node of a role: an IP address and a port.

        For clients that resolve names themselves, outside the event loop. HostError when nothing has that name.
        """
        ...

    def emit(self, record: Row) -> None:
        """Report a row (see `harness.system.host`). Never blocks, never fails the caller."""
        ...

    def safeguard(self, name: str) -> bool:
        """Whether this resilience mechanism is on in this run. HostError for an undeclared name."""
        ...
