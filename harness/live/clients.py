"""`LiveClients`: the clients of a run, in whatever process they live."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from harness.faults.primitives import HostIdentity
from harness.live.context import RunContext
from harness.live.host import LiveHost
from harness.live.kernel.namespaces import MakeSocket
from harness.live.messages import Address
from harness.live.proxy_links import ProxyLinks
from harness.live.tasks import run_to_end
from harness.runtime.contract import check_zone
from harness.runtime.host import MemoryDisk
from harness.system import Access, Client
from harness.system.streams import stream


class LiveClients:
    """`sockets`: makes the sockets of clients in this process.

    For a Locust load, the `harness.live.locust.driver.RemoteClientNetwork`.
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
        try:
            yield host
        finally:
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
