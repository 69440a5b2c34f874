"""`LiveRuntime`: the same system on real processes and sockets, in real time, on this machine's loopback."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from harness.experiment.model import Load
from harness.faults.primitives import HostIdentity
from harness.live import messages
from harness.live.cpu import Group
from harness.live.external_server import external_server
from harness.live.fork_client import ForkServer, fork_server
from harness.live.host import LiveClock, LiveHost
from harness.live.kernel.controller import Controller
from harness.live.kernel.layout import PROXIES, node_address
from harness.live.kernel.network import KernelNetwork
from harness.live.limits import open_files
from harness.live.locust.cluster import LocustCluster, locust_cluster
from harness.live.locust.driver import LocustDriver
from harness.live.nodes import LiveNode
from harness.live.options import KERNEL, PROXY, LiveOptions, Network
from harness.live.primitives import LivePrimitives
from harness.live.processes import run_environment
from harness.live.proxy_links import ProxyLinks
from harness.live.proxy_server import proxy_server
from harness.live.run_lock import LiveUnavailable
from harness.live.toxiproxy import ToxiproxyApi
from harness.live.vanilla_toxiproxy import VanillaToxiproxyApi
from harness.live.workspace import Workspace, open_workspace
from harness.runtime.contract import (
    NotReady,
    Recorded,
    RunSettings,
    ServiceFailure,
    Session,
    check_ready,
    check_zone,
    safeguards_of,
)
from harness.runtime.host import MemoryDisk
from harness.runtime.journal import Journal
from harness.runtime.unhandled import report_context
from harness.system import Access, Client, Row, System, Topology
from harness.system.streams import stream
from harness.workload.drive import Driver, LoadDriver

__all__ = ["LiveRuntime", "LiveSession", "LiveUnavailable", "NotReady"]

SETTLE_S = 2.0
"""Run time 0 is so long after the nodes are launched, and more with many nodes."""

SETTLE_PER_NODE_S = 0.15
"""Processor time of a node's start, with room for a busy machine."""


class LiveRuntime:
    """`run` raises what `body` raises; NotReady when the system does not come up, LiveUnavailable when this machine
    cannot, LeftBehind when something is still there after a run, ValueError for safeguards that the system lacks.

    Linux only. With the network `proxy` nothing leaves 127.0.0.0/8; with `kernel` nothing leaves the namespaces that
    the run makes for itself.
    """

    name = "live"

    def __init__(self, options: LiveOptions = LiveOptions()) -> None:  # noqa: B008 (immutable)
        self.options = options

    def run[T](self, settings: RunSettings, body: Callable[[Session], Awaitable[T]]) -> T:
        safeguards = safeguards_of(settings)
        if not sys.platform.startswith("linux"):
            raise LiveUnavailable(f"live runs need Linux (found {sys.platform}); use --runtime sim")
        if not settings.reference:
            raise ValueError(
                "RunSettings.reference is empty: other processes must be able to load the system"
            )
        # Not `asyncio.run`: Ctrl-C is the engine's, which undoes the faults first.
        with open_files(), open_workspace() as workspace, asyncio.Runner() as runner:
            return runner.get_loop().run_until_complete(
                _run(workspace, settings, safeguards, self.options, body)
            )


async def _run[T](
    workspace: Workspace,
    settings: RunSettings,
    safeguards: Mapping[str, bool],
    options: LiveOptions,
    body: Callable[[Session], Awaitable[T]],
) -> T:
    async with locust_cluster(options.load, workspace) as crew:
        session = LiveSession(workspace, settings, safeguards, options.network, crew, options.toxiproxy)
        asyncio.get_running_loop().set_exception_handler(session.exception_handler)
        try:
            await session.start()
            return await body(session)
        finally:
            await session.end()


class LiveSession:
    """A started system (`harness.runtime.contract.Session`)."""

    def __init__(
        self,
        workspace: Workspace,
        settings: RunSettings,
        safeguards: Mapping[str, bool],
        network: Network = PROXY,
        crew: LocustCluster | None = None,
        toxiproxy: str | None = None,
    ) -> None:
        self._crew = crew
        self._workspace = workspace
        self._settings = settings
        self._system: System = settings.system
        self.safeguards = safeguards
        self.attempts: Counter[str] = Counter()
        busy_s = SETTLE_PER_NODE_S * len(self._system.topology.nodes) / (os.cpu_count() or 1)
        self.origin_s = origin_s = asyncio.get_running_loop().time() + SETTLE_S + busy_s
        self.clock = LiveClock(origin_s)
        self._journal = Journal(self._system, self.clock.now)

        def died(why: str) -> None:
            self._journal.fail("the harness", why)

        self._prefix = "" if toxiproxy is None else f"harness-{workspace.run}~"
        """Of our proxies among those of others."""
        self._died = died
        self._toxiproxy = toxiproxy
        self._world = messages.World(
            settings.reference, settings.seed, dict(safeguards), origin_s, str(workspace.directory)
        )
        self._servers = AsyncExitStack()
        self._network: KernelNetwork | None = None
        if network == KERNEL:
            self._network = KernelNetwork(workspace, died=died)
        self._api: ToxiproxyApi | None = None
        self._wires: ProxyLinks | None = None
        self._primitives: LivePrimitives | None = None
        self._nodes: dict[str, LiveNode] = {}
        self._clients: dict[str, None] = {}
        self._arrived = 0
        self._ready_s = 0.0

    # ------------------------------------------------------------------ what the engine sees

    @property
    def primitives(self) -> LivePrimitives:
        assert self._primitives is not None
        return self._primitives

    @property
    def journal(self) -> Journal:
        return self._journal

    @property
    def records(self) -> Sequence[Recorded]:
        return self._journal.records

    @property
    def failures(self) -> Sequence[ServiceFailure]:
        return self._journal.failures

    def statistics(self) -> Mapping[str, Any]:
        """`ready_s`: when the last node listened, before (negative) or after run time 0."""
        return {
            "run_s": round(self.clock.now(), 3),
            "ready_s": round(self._ready_s, 3),
            "clients": self._arrived,
            "connections": sum(self.attempts.values()),
            "proxies": self._wires.made if self._wires is not None else 0,
            **self._journal.statistics(),
        }

    # ------------------------------------------------------------------ what hosts of clients need

    @property
    def system_name(self) -> str:
        return self._system.name

    @property
    def topology(self) -> Topology:
        return self._system.topology

    def emit(self, host: str, role: str, row: Row) -> None:
        self._journal.emit(host, role, row)

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Start proxies and nodes, wait until every node listens, and go on to run time 0.

        NotReady names every node that did not come up in time, and why.
        """
        topology = self.topology
        network = self._network
        place = node_address if network is not None else self._workspace.address
        addresses = {node.name: place(number) for number, node in enumerate(topology.nodes, start=1)}
        url, forks = await _both(self._start_proxies(addresses), self._start_fork_server())
        if network is None:
            self._api = VanillaToxiproxyApi(url) if self._prefix else ToxiproxyApi(url)
            self._wires = ProxyLinks(
                self._api, topology, addresses, self._workspace.address(0), prefix=self._prefix
            )
        else:
            self._api = ToxiproxyApi(url, network.hub_sockets())
            self._wires = ProxyLinks(self._api, topology, addresses, PROXIES, Controller(network))
        if self._crew is not None and self._crew.address is not None:
            self._wires.listen_clients = self._crew.address
        self._nodes = {
            node.name: LiveNode(
                node,
                addresses[node.name],
                fork_server=forks,
                wires=self._wires,
                journal=self._journal,
                attempts=self.attempts,
                group=Group(self._workspace.run, node.name),
                namespace=None if network is None else network.path(node.name),
            )
            for node in topology.nodes
        }
        self._primitives = LivePrimitives(self._workspace, self._wires, self._nodes, self.attempts)
        load, *outcomes = await asyncio.gather(
            self._start_load(), *(self._start(node) for node in self._nodes.values()), return_exceptions=True
        )
        check_ready(self._system.name, dict(zip(self._nodes, outcomes, strict=True)))
        if load is not None:
            raise load
        if self._crew is not None:
            await self._crew.prepare(self, self._settings.reference, self._settings.seed)
        self._ready_s = self.clock.now()
        await asyncio.sleep(max(0.0, -self.clock.now()))

    async def _start_proxies(self, addresses: dict[str, str]) -> str:
        if self._toxiproxy is not None:
            server = external_server(self._workspace, self._toxiproxy, self._prefix, self._died)
        else:
            variables = {}
            if self._network is not None:
                await self._network.start(addresses)
                variables = self._network.hub_environment()
            server = proxy_server(self._workspace, self._settings.seed, self._died, variables)
        return await self._servers.enter_async_context(server)

    async def _start_fork_server(self) -> ForkServer:
        return await self._servers.enter_async_context(fork_server(self._workspace, self._world))

    async def _start_load(self) -> None:
        if self._crew is not None and not self._crew.workers:
            await self._crew.gather(self.clients_environment())

    async def _start(self, node: LiveNode) -> None:
        await node.launch()
        await node.until_ready()

    def client(self, client: Client, role: str) -> AbstractAsyncContextManager[LiveHost]:
        """A client in this process, with proxies of its own.

        ValueError when a host of that name is there already, or the zone is unknown.
        """
        return self._client(client, role)

    @asynccontextmanager
    async def _client(self, client: Client, role: str) -> AsyncIterator[LiveHost]:
        peer = HostIdentity(client.name, role, client.zone, client.group)
        self.came(peer, client.access)
        host = LiveHost(
            self,
            peer,
            config=client.params,
            rng=stream(self._settings.seed, "host", client.name),
            disk=MemoryDisk(),
            router=lambda name, port: self.route(peer, name, port),
            sockets=socket.socket if self._network is None else self._network.client_sockets(),
        )
        try:
            yield host
        finally:
            await host.close()
            await asyncio.shield(asyncio.ensure_future(self.gone(peer)))

    def came(self, peer: HostIdentity, access: Access) -> None:
        """A client is there, in whatever process. ValueError as for `client`."""
        assert self._wires is not None
        check_zone(peer.name, peer.zone, self.topology)
        if peer.name in self._clients or peer.name in self._nodes:
            raise ValueError(f"there is a host '{peer.name}' already; names must be unique")
        self._clients[peer.name] = None
        self._arrived += 1
        self._wires.attach(peer, access)

    async def gone(self, peer: HostIdentity) -> None:
        """A client has left; its proxies go."""
        assert self._wires is not None
        await self._wires.detach(peer)
        del self._clients[peer.name]

    async def route(self, peer: HostIdentity, name: str, port: int) -> Sequence[messages.Address]:
        """Where a client finds a node, or the nodes of a role."""
        assert self._wires is not None
        return await self._wires.route(peer, name, port)

    def driver(self, loads: Mapping[str, Load], *, seed: int, drain_s: float) -> LoadDriver:
        if self._crew is None:
            return Driver(self, self._system, loads, seed=seed, drain_s=drain_s)
        return LocustDriver(self._crew, self, self._system, loads, drain_s=drain_s)

    def clients_environment(self) -> dict[str, str]:
        """For a process of `harness.live.supervised` that plays clients, in their place on the network."""
        there = {} if self._network is None else self._network.clients_environment()
        return {**run_environment(self._workspace.directory), **there}

    @property
    def directory(self) -> Path:
        """This run's own, gone when it ends."""
        return self._workspace.directory

    async def addresses(self) -> dict[str, str]:
        """Where a person reaches each node: through a proxy of their own, so that faults reach them too.

        They are in the first zone of the topology, as somebody who is neither node nor client.
        """
        assert self._wires is not None
        you = HostIdentity("you", "person", self.topology.zones[0])
        found = {}
        for name in self._nodes:
            (address,) = await self._wires.route(you, name, 80)
            found[name] = f"http://{address.host}:{address.port}/"
        return found

    def exception_handler(self, _loop: Any, context: Mapping[str, Any]) -> None:
        """For `loop.set_exception_handler`: errors in the background of clients, or of the harness itself."""
        report_context(partial(self._journal.unhandled, "the harness"), context)

    async def end(self) -> None:
        """Hear what the nodes have yet to say; then nothing is recorded any more, and every process is killed."""
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*(node.settle() for node in self._nodes.values()), return_exceptions=True)
        self._journal.sealed = True
        if self._api is not None:
            await self._api.close()
        await asyncio.gather(*(node.end() for node in self._nodes.values()), return_exceptions=True)
        await self._servers.aclose()
        if self._network is not None:
            await self._network.end()


async def _both[A, B](first: Awaitable[A], second: Awaitable[B]) -> tuple[A, B]:
    """Both to their end, at the same time; then the first failure is raised."""
    a, b = await asyncio.gather(first, second, return_exceptions=True)
    for outcome in (a, b):
        if isinstance(outcome, BaseException):
            raise outcome
    return a, b  # type: ignore[return-value]
