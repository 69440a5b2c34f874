"""`ProxyLinks`: a proxy for every link, so that its port identifies the host that opens a connection.

A proxy is made when a host first asks for a node. With the kernel network (`harness.live.kernel`) proxies do latency
and jitter only; the kernel does the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.faults.primitives import HostIdentity
from harness.live.kernel.controller import MAX_BPS, Controller
from harness.live.kernel.requests import Flow
from harness.live.kernel.ruleset import DOWN, UP
from harness.live.link_toxics import ProxyFeatures, base_toxics, fault_toxics
from harness.live.link_traffic import LinkTraffic
from harness.live.links import DOWNSTREAM, UPSTREAM, BaseShapes, Conditions, Link, ProxyLink
from harness.live.messages import Address
from harness.live.names import real_port
from harness.live.tasks import run_all, run_to_end
from harness.live.toxiproxy import Toxic, ToxiproxyApi
from harness.system import Access, Topology

MAX_PROXY_BPS = 1e9
"""Faster links of the topology are not limited by proxies, which do not reach such rates on every machine."""


class ProxyLinks:
    """`addresses`: of the nodes. `listen`, `listen_clients`: addresses at which the proxies of nodes and of clients
    listen. `controller`: of the kernel network, where there is one. `prefix`: of the names of the proxies.
    `ports`: address and port of the nodes that have only one.
    """

    def __init__(
        self,
        api: ToxiproxyApi,
        topology: Topology,
        addresses: Mapping[str, str],
        listen: str,
        *,
        listen_clients: str | None = None,
        controller: Controller | None = None,
        prefix: str = "",
        ports: Mapping[str, tuple[str, int]] | None = None,
    ) -> None:
        self.api = api
        self.controller = controller
        self.features = ProxyFeatures(api.extended, controller is not None)
        self.conditions = Conditions()
        self.traffic = LinkTraffic(api)
        self.made = 0
        """How many proxies were made in the run."""
        # One change at a time: a proxy that is being made must not miss a fault.
        self.lock = asyncio.Lock()
        self.addresses = addresses
        self.ports = ports or {}
        self._listen = listen
        self._listen_clients = listen if listen_clients is None else listen_clients
        self._prefix = prefix
        self._nodes = [HostIdentity(node.name, node.role, node.zone) for node in topology.nodes]
        self._shapes = BaseShapes(topology, MAX_PROXY_BPS if controller is None else MAX_BPS)
        self._links: dict[tuple[str, str, int], ProxyLink] = {}

    def __iter__(self) -> Iterator[ProxyLink]:
        return iter(list(self._links.values()))

    def attach(self, client: HostIdentity, access: Access) -> None:
        """Add a client, behind this access link."""
        self._shapes.attach(client, access)

    async def detach(self, client: HostIdentity) -> None:
        """Remove a client and its proxies."""
        async with self.lock:
            keys = [key for key in self._links if key[0] == client.name]
            removed = [self._links.pop(key) for key in keys]
            self._shapes.detach(client)
            await self.traffic.remove(each.link for each in removed)
            await run_all(self.api.delete(each.link.name) for each in removed)
            if self.controller is not None:
                await self.controller.remove_flows(each.address.port for each in removed)

    async def route(self, initiator: HostIdentity, name: str, port: int) -> tuple[Address, ...]:
        """Where a host reaches a node, or all nodes of a role: own zone first, then by round trip, then by name."""
        targets = [node for node in self._nodes if name in (node.name, node.role)]
        targets.sort(key=lambda node: (*self._shapes.distance(initiator, node), node.name))
        if any((initiator.name, target.name, port) not in self._links for target in targets):
            await run_to_end(self._make(initiator, targets, port))
        return tuple(self._links[initiator.name, target.name, port].address for target in targets)

    # ------------------------------------------------------------------ making proxies

    async def _make(self, initiator: HostIdentity, targets: Sequence[HostIdentity], port: int) -> None:
        """Make the proxies that are missing."""
        async with self.lock:
            links = [
                Link(
                    f"{self._prefix}{initiator.name}~{target.name}~{port}",
                    initiator,
                    target,
                    port,
                    self._shapes.between(initiator, target),
                )
                for target in targets
                if (initiator.name, target.name, port) not in self._links
            ]
            if not links:
                return
            documents = await self.api.populate([self._document(link) for link in links])
            by_name = {document["name"]: document for document in documents}
            made = [await self._finish(link, by_name[link.name]) for link in links]
            if self.controller is not None:
                await self._add_flows(self.controller, made)
            for each in made:
                self._links[initiator.name, each.link.target.name, port] = each
                self.traffic.add(each.link)
                self.made += 1

    def unanswered(self, link: Link) -> bool:
        """Whether its proxy must leave connects without an answer. (The kernel network drops their packets.)"""
        able = self.features.extended and not self.features.kernel
        return able and self.conditions.silent(link)

    def _toxics(self, link: Link) -> list[Toxic]:
        toxics = list(base_toxics(link, self.features))
        for fault in self.conditions.faults.values():
            toxics += fault_toxics(link, fault, self.features)
        return toxics

    def _document(self, link: Link) -> dict[str, Any]:
        listen = self._listen_clients if self._shapes.is_client(link.initiator) else self._listen
        document = {
            "name": link.name,
            "listen": f"{listen}:0",
            "upstream": self._upstream(link),
            "enabled": True,
            "toxics": [toxic.document() for toxic in self._toxics(link)],
        }
        return document | ({"accepting": False} if self.unanswered(link) else {})

    def _upstream(self, link: Link) -> str:
        name = link.target.name
        host, port = self.ports.get(name) or (self.addresses[name], real_port(link.port))
        return f"{host}:{port}"

    async def _finish(self, link: Link, document: Mapping[str, Any]) -> ProxyLink:
        """Do what the server has not done when it made the proxy."""
        host, _, port = document["listen"].rpartition(":")
        there = {toxic["name"] for toxic in document.get("toxics") or ()}
        for toxic in self._toxics(link):
            if toxic.name not in there:
                await self.api.add(link.name, toxic)
        unanswered = self.unanswered(link)
        if self.conditions.refused(link) and not unanswered:
            # A proxy gets its port when it is enabled, and keeps it.
            await self.api.enable(link.name, False)
        address = Address(link.target.name, host, int(port), link.rtt_s)
        flows = {} if self.controller is None else _flows(link, address.port)
        return ProxyLink(link, address, flows, unanswered)

    async def _add_flows(self, controller: Controller, made: Sequence[ProxyLink]) -> None:
        await controller.add_flows(
            {
                flow: self.conditions.on(each.link, direction)
                for each in made
                for direction, flow in each.flows.items()
            }
        )


def _flows(link: Link, port: int) -> Mapping[str, Flow]:
    """Both directions of a link, as the kernel sees them at the port of its proxy."""
    initiator, target = link.initiator.name, link.target.name
    up, down = link.shapes
    return {
        UPSTREAM: Flow(port, UP, initiator, target, up.limits, up.loss),
        DOWNSTREAM: Flow(port, DOWN, target, initiator, down.limits, down.loss),
    }
