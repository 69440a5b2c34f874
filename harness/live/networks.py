"""What a live run is connected by: proxies on its own server or an external one, and the kernel network."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from harness.faults.primitives import FaultFailed
from harness.live.external_proxies import server_problem
from harness.live.kernel.layout import PROXIES, node_address
from harness.live.kernel.namespaces import MakeSocket
from harness.live.kernel.network import KernelNetwork, kernel_network
from harness.live.options import KERNEL, LiveOptions
from harness.live.resources import ExternalProxies
from harness.live.supervisor import supervised_process
from harness.live.tasks import background
from harness.live.toxiproxy import ToxiproxyApi
from harness.live.vanilla_toxiproxy import vanilla_toxiproxy
from harness.live.workspace import Workspace
from harness.runtime.contract import NotReady
from harness.system import Topology

START_S = 30.0
"""How long the server may take to start."""


@asynccontextmanager
async def proxy_server(
    workspace: Workspace,
    seed: int,
    died: Callable[[str], None] = lambda _: None,
    variables: Mapping[str, str] | None = None,
) -> AsyncIterator[str]:
    """The URL of its API. NotReady when it does not start. `variables`: of its environment.

    `died` is called with the reason when it ends before the block: what clients see after that is not caused by the
    system.
    """
    arguments = ("serve", "--host", workspace.address(0), "--port", "0", "--seed", str(seed))
    async with supervised_process(
        workspace,
        "proxies",
        "harness.toxiproxy",
        arguments,
        variables={"LOG_LEVEL": "warn", **(variables or {})},
        stdout=asyncio.subprocess.PIPE,
        on_exit=lambda how: died(f"the proxy server {how}"),
    ) as process:
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_S):
                line = await process.stdout.readline()
        except TimeoutError:
            line = b""
        if not line:
            raise NotReady(f"the proxy server did not start\n{workspace.log_tail('proxies')}".rstrip())
        yield str(json.loads(line)["api"])


WATCH_S = 1.0
"""Between two checks that the server still answers."""


@asynccontextmanager
async def external_server(
    workspace: Workspace, url: str, prefix: str, died: Callable[[str], None]
) -> AsyncIterator[str]:
    """The URL of its API. NotReady when no Toxiproxy server answers there.

    `prefix`: of the names of our proxies, which are removed when the workspace is cleaned. `died` is called with the
    reason when the server stops answering: what clients see after that is not caused by the system.
    """
    url = url.rstrip("/")
    if problem := await asyncio.to_thread(server_problem, url):
        raise NotReady(problem)
    workspace.ledger.add(ExternalProxies(url=url, prefix=prefix))
    async with background(_watch(url, died)):
        yield url


async def _watch(url: str, died: Callable[[str], None]) -> None:
    async with ToxiproxyApi(url) as api:
        try:
            while True:
                await asyncio.sleep(WATCH_S)
                await api.version()
        except FaultFailed as error:
            died(str(error))


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
