"""`LiveSession`: a started system, as the engine sees it (`harness.runtime.contract.Session`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from harness.experiment.load import Load
from harness.faults.primitives import HostIdentity
from harness.live.clients import LiveClients
from harness.live.context import RunContext
from harness.live.host import LiveClock, LiveHost
from harness.live.locust.cluster import LocustCluster
from harness.live.locust.driver import LocustDriver
from harness.live.primitives import LivePrimitives
from harness.live.proxy_links import ProxyLinks
from harness.live.workspace import Workspace
from harness.runtime.contract import Recorded, ServiceFailure
from harness.system import Client
from harness.workload.driver import Driver, LoadDriver


class LiveSession:
    """`ready_s`: run time at which the last node listened. `clients_environment`: for a supervised process that runs
    where clients are. `cluster`: of a Locust load."""

    def __init__(
        self,
        context: RunContext,
        workspace: Workspace,
        links: ProxyLinks,
        primitives: LivePrimitives,
        clients: LiveClients,
        cluster: LocustCluster | None,
        clients_environment: Mapping[str, str],
        ready_s: float,
    ) -> None:
        self.primitives = primitives
        self.workspace = workspace
        self.clients_environment = clients_environment
        self._context = context
        self._links = links
        self._clients = clients
        self._cluster = cluster
        self._ready_s = ready_s

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
    def directory(self) -> Path:
        """The files of this run, gone when it ends."""
        return self.workspace.directory

    def client(self, client: Client, role: str) -> AbstractAsyncContextManager[LiveHost]:
        """A client in this process. ValueError when its name is in use or its zone unknown."""
        return self._clients.client(client, role)

    def driver(self, loads: Mapping[str, Load], *, seed: int, drain_s: float) -> LoadDriver:
        system = self._context.system
        if self._cluster is None:
            return Driver(self, system, loads, seed=seed, drain_s=drain_s)
        return LocustDriver(self._cluster, self._clients, system, loads, drain_s=drain_s)

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
