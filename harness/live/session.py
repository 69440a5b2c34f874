"""`LiveSession`: a started system, with what its parts share in the harness's own process and its clients."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness.experiment.load import Load
from harness.faults.primitives import HostIdentity
from harness.live.host import LiveClock, LiveHost
from harness.live.kernel.namespaces import MakeSocket
from harness.live.locust.cluster import LocustCluster
from harness.live.locust.driver import LocustDriver
from harness.live.messages import Address
from harness.live.primitives import LivePrimitives
from harness.live.proxy_links import ProxyLinks
from harness.live.tasks import run_to_end
from harness.live.workspace import Workspace
from harness.runtime.contract import Recorded, RunSettings, ServiceFailure, check_zone
from harness.runtime.host import MemoryDisk
from harness.runtime.journal import Journal, report_context
from harness.system import Access, Client, Row, System
from harness.system.streams import stream
from harness.workload.driver import Driver, LoadDriver

SETTLE_S = 2.0
"""Run time 0 is so long after the nodes are launched, and more with many nodes."""

SETTLE_PER_NODE_S = 0.15
"""Processor time of a node's start, with room for a busy machine."""

HARNESS = "the harness"
"""The host of failures that are not a service's."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """For hosts, a `harness.live.host.LiveContext`.

    `origin_s`: run time 0 on the machine's monotonic clock. `attempts`: connection attempts by node.
    """

    settings: RunSettings
    safeguards: Mapping[str, bool]
    origin_s: float
    clock: LiveClock
    journal: Journal
    attempts: Counter[str]

    @property
    def system(self) -> System:
        return self.settings.system

    def emit(self, host: str, row: Row) -> None:
        self.journal.emit(host, row)

    def misuse(self, host: str, error: str) -> None:
        self.journal.misuse(host, error)

    def consulted(self, host: str, safeguard: str) -> None:
        self.journal.consulted(safeguard)

    def fail(self, reason: str) -> None:
        """Record that the harness itself has failed."""
        self.journal.fail(HARNESS, reason)

    def exception_handler(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """For `loop.set_exception_handler`: errors in the background of clients, or of the harness itself."""
        report_context(partial(self.journal.unhandled, HARNESS), context)


def begin_run(settings: RunSettings, safeguards: Mapping[str, bool]) -> RunContext:
    """A context whose run time 0 leaves enough time to start the nodes."""
    busy_s = SETTLE_PER_NODE_S * len(settings.system.topology.nodes) / (os.cpu_count() or 1)
    origin_s = asyncio.get_running_loop().time() + SETTLE_S + busy_s
    clock = LiveClock(origin_s)
    return RunContext(settings, safeguards, origin_s, clock, Journal(clock.now), attempts=Counter())


class LiveClients:
    """`sockets`: makes the sockets of clients in this process.

    Clients in other processes `arrive`, ask for a `route`, and `leave`.
    """

    def __init__(self, context: RunContext, links: ProxyLinks, sockets: MakeSocket) -> None:
        self.clock = context.clock
        self.journal = context.journal
        self.attempts = context.attempts
        self._context = context
        self._links = links
        self._sockets = sockets
        self._names = {node.name for node in context.system.topology.nodes}
        self.arrived = 0
        """How many clients there have been."""

    @asynccontextmanager
    async def client(self, client: Client, role: str) -> AsyncIterator[LiveHost]:
        """A client in this process for the time of the block. ValueError as for `arrive`."""
        identity = HostIdentity(client.name, role, client.zone, client.group)
        self.arrive(identity, client.access)
        host = LiveHost(
            self._context,
            identity,
            config=client.params,
            rng=stream(self._context.settings.seed, "host", client.name),
            disk=MemoryDisk(),
            router=lambda name, port: self.route(identity, name, port),
            sockets=self._sockets,
        )
        undo = host.use_names(self._links.addresses)
        try:
            yield host
        finally:
            undo()
            await host.close()
            await run_to_end(self.leave(identity))

    def arrive(self, client: HostIdentity, access: Access) -> None:
        """A client has arrived. ValueError when its name is in use or its zone unknown."""
        check_zone(client.name, client.zone, self._context.system.topology)
        if client.name in self._names:
            raise ValueError(f"there is a host '{client.name}' already; names must be unique")
        self._names.add(client.name)
        self.arrived += 1
        self._links.attach(client, access)

    async def leave(self, client: HostIdentity) -> None:
        """A client has left: remove its proxies."""
        await self._links.detach(client)
        self._names.discard(client.name)

    async def route(self, client: HostIdentity, name: str, port: int) -> Sequence[Address]:
        """Where a client reaches a node, or the nodes of a role. FaultFailed when there is no route."""
        return await self._links.route(client, name, port)


@dataclass(frozen=True, eq=False, slots=True)
class LiveSession:
    """`_ready_s`: run time at which the last node listened. `clients_environment`: for a supervised process that runs
    where clients are. `_cluster`: of a Locust load."""

    _context: RunContext
    workspace: Workspace
    _links: ProxyLinks
    primitives: LivePrimitives
    _clients: LiveClients
    _cluster: LocustCluster | None
    clients_environment: Mapping[str, str]
    _ready_s: float

    @property
    def clock(self) -> LiveClock:
        return self._context.clock

    @property
    def records(self) -> Sequence[Recorded]:
        return self._context.journal.records

    @property
    def failures(self) -> Sequence[ServiceFailure]:
        return self._context.journal.failures

    @property
    def consulted_s(self) -> Mapping[str, float]:
        return self._context.journal.consulted_s

    @property
    def directory(self) -> Path:
        """The files of this run, removed when it ends."""
        return self.workspace.directory

    def client(self, client: Client, role: str) -> AbstractAsyncContextManager[LiveHost]:
        """A client in this process. ValueError when its name is in use or its zone unknown."""
        return self._clients.client(client, role)

    def driver(self, loads: Mapping[str, Load], *, seed: int, drain_s: float) -> LoadDriver:
        system = self._context.system
        if self._cluster is None:
            return Driver(self, system, loads, seed=seed, drain_s=drain_s)
        return LocustDriver(self._cluster, self._clients, system, loads, drain_s=drain_s)

    def listen(self, listener: Callable[[Recorded], None]) -> None:
        self._context.journal.listeners.append(listener)

    async def settle(self) -> None:
        await self.primitives.flush()

    def statistics(self) -> Mapping[str, Any]:
        """`ready_s`: when the last node listened, before (negative) or after run time 0."""
        return {
            "run_s": round(self.clock.now(), 3),
            "ready_s": round(self._ready_s, 3),
            "clients": self._clients.arrived,
            "connections": sum(self._context.attempts.values()),
            "proxies": self._links.made,
            **self._context.journal.statistics(),
        }

    async def addresses(self) -> dict[str, str]:
        """Where a person reaches each node: through proxies of their own, so that faults affect them too.

        The person is in the first zone of the topology, and neither a node nor a client.
        """
        topology = self._context.system.topology
        person = HostIdentity("you", "person", topology.zones[0])
        urls = {}
        for node in topology.nodes:
            (address,) = await self._links.route(person, node.name, 80)
            urls[node.name] = f"http://{address.host}:{address.port}/"
        return urls
