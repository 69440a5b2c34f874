"""`LiveNetwork`: what connects the hosts of a run: proxies, and beneath them loopback or the kernel network."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from harness.live.external_server import external_server
from harness.live.kernel.layout import PROXIES, node_address
from harness.live.kernel.namespaces import MakeSocket
from harness.live.kernel.network import KernelNetwork, kernel_network
from harness.live.options import KERNEL, LiveOptions
from harness.live.proxy_server import proxy_server
from harness.live.toxiproxy import ToxiproxyApi
from harness.live.vanilla_toxiproxy import vanilla_toxiproxy
from harness.live.workspace import Workspace
from harness.system import Topology


@dataclass(frozen=True, slots=True)
class LiveNetwork:
    """`api`: of the proxy server. `addresses`: of the nodes, by name. `listen`: where proxies listen. `prefix`: of the
    names of our proxies."""

    api: ToxiproxyApi
    addresses: Mapping[str, str]
    listen: str
    prefix: str = ""
    kernel: KernelNetwork | None = None

    def namespace(self, node: str) -> str | None:
        """The path of the network namespace of a node, with the kernel network."""
        return None if self.kernel is None else self.kernel.path(node)

    def client_sockets(self) -> MakeSocket:
        """Makes the sockets of clients in this process."""
        return socket.socket if self.kernel is None else self.kernel.client_sockets()

    def clients_environment(self) -> dict[str, str]:
        """For a supervised process that runs where clients are."""
        return {} if self.kernel is None else self.kernel.clients_environment()


def live_network(
    workspace: Workspace, options: LiveOptions, topology: Topology, seed: int, died: Callable[[str], None]
) -> AbstractAsyncContextManager[LiveNetwork]:
    """The network for the time of the block. `died` is called with the reason when it ends before. NotReady."""
    if options.network == KERNEL:
        return _kernel_network(workspace, topology, seed, died)
    if options.toxiproxy is not None:
        return _external_proxies(workspace, topology, options.toxiproxy, died)
    return _own_proxies(workspace, topology, seed, died)


@asynccontextmanager
async def _own_proxies(
    workspace: Workspace, topology: Topology, seed: int, died: Callable[[str], None]
) -> AsyncIterator[LiveNetwork]:
    async with proxy_server(workspace, seed, died) as url, ToxiproxyApi(url) as api:
        yield LiveNetwork(api, _addresses(topology, workspace.address), workspace.address(0))


@asynccontextmanager
async def _external_proxies(
    workspace: Workspace, topology: Topology, url: str, died: Callable[[str], None]
) -> AsyncIterator[LiveNetwork]:
    prefix = f"harness-{workspace.run}~"
    async with external_server(workspace, url, prefix, died) as server, vanilla_toxiproxy(server) as api:
        yield LiveNetwork(api, _addresses(topology, workspace.address), workspace.address(0), prefix)


@asynccontextmanager
async def _kernel_network(
    workspace: Workspace, topology: Topology, seed: int, died: Callable[[str], None]
) -> AsyncIterator[LiveNetwork]:
    addresses = _addresses(topology, node_address)
    async with (
        kernel_network(workspace, addresses, died) as kernel,
        proxy_server(workspace, seed, died, kernel.hub_environment()) as url,
        ToxiproxyApi(url, kernel.hub_sockets()) as api,
    ):
        yield LiveNetwork(api, addresses, PROXIES, kernel=kernel)


def _addresses(topology: Topology, address: Callable[[int], str]) -> Mapping[str, str]:
    return {node.name: address(number) for number, node in enumerate(topology.nodes, start=1)}
