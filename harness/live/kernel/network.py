"""The harness's side of the kernel network: starts the agent, the process that holds it, and sends it requests."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from harness.faults.primitives import FaultFailed
from harness.live.kernel.layout import CLIENTS_NAMESPACE, HUB, namespace_plans, node_namespace
from harness.live.kernel.namespaces import VARIABLE, MakeSocket, sockets_in
from harness.live.kernel.requests import CODEC, Build, Built, Change, Counted, Lost, Refused, Within
from harness.live.resources import NetworkNamespaces
from harness.live.supervisor import supervised_process
from harness.live.tasks import background
from harness.live.workspace import Workspace
from harness.runtime.contract import NotReady
from harness.runtime.messages import Channel

ANSWER_S = 30.0
END_S = 5.0
"""How long the agent may take to end the connections that are left."""

LOG = "kernel-network"


@asynccontextmanager
async def kernel_network(
    workspace: Workspace, nodes: Mapping[str, str], died: Callable[[str], None] = lambda _: None
) -> AsyncIterator[KernelNetwork]:
    """The namespaces of a run, removed with everything in them at the end of the block.

    `nodes`: addresses by name. `died` is called with the reason when the agent ends before the block. NotReady, with
    the reason, when the network cannot be made.
    """
    async with AsyncExitStack() as stack:
        agent = await stack.enter_async_context(_agent(workspace, died))
        try:
            built = await agent.ask(Build(namespace_plans(nodes)))
        except FaultFailed as error:
            raise NotReady(f"no kernel network: {error}") from error
        assert isinstance(built, Built)
        workspace.ledger.add(NetworkNamespaces(inodes=built.inodes))
        descriptors = []
        for name in (HUB, CLIENTS_NAMESPACE):
            descriptor = os.open(built.paths[name], os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            descriptors.append(descriptor)
        hub, clients = descriptors
        yield KernelNetwork(agent, built.paths, hub, clients)


@dataclass(frozen=True, eq=False, slots=True)
class KernelNetwork:
    """`_paths`: of the namespaces, by name. `_hub`, `_clients`: descriptors of those of proxies and clients."""

    _agent: AgentConnection
    _paths: Mapping[str, str]
    _hub: int
    _clients: int

    def path(self, node: str) -> str:
        """The namespace of a node, for its process to enter."""
        return self._paths[node_namespace(node)]

    def hub_environment(self) -> dict[str, str]:
        """For a supervised process that runs where the proxies are."""
        return {VARIABLE: self._paths[HUB]}

    def clients_environment(self) -> dict[str, str]:
        """For a supervised process that runs where clients are."""
        return {VARIABLE: self._paths[CLIENTS_NAMESPACE]}

    def hub_sockets(self) -> MakeSocket:
        return sockets_in(self._hub)

    def client_sockets(self) -> MakeSocket:
        return sockets_in(self._clients)

    async def change(self, change: Change) -> dict[int, Lost]:
        """FaultFailed, with the kernel's message, when it refuses."""
        counted = await self._agent.ask(change)
        assert isinstance(counted, Counted)
        return dict(counted.lost)

    async def change_node(self, node: str, nft: str) -> None:
        """Change the rules of a node's own namespace."""
        await self._agent.ask(Within(node_namespace(node), nft))


@asynccontextmanager
async def _agent(workspace: Workspace, died: Callable[[str], None]) -> AsyncIterator[AgentConnection]:
    own, theirs = socket.socketpair()
    with theirs:
        fd = theirs.fileno()
        # It has work left to do when this process dies, and ends when the channel closes.
        async with supervised_process(
            workspace, LOG, "harness.live.kernel.agent", [str(fd)], fds=[fd], ends_itself=True
        ) as process:
            theirs.close()
            channel = await Channel.open(CODEC, own)

            def ended() -> str:
                return f"the kernel network's process ended\n{workspace.log_tail(LOG)}".rstrip()

            agent = AgentConnection(channel, ended)
            async with background(agent.receive(died)):
                try:
                    yield agent
                finally:
                    agent.close()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(END_S):
                            await process.wait()


class AgentConnection:
    """Requests to the agent. It answers them in their order.

    `ended` returns why the agent ended.
    """

    def __init__(self, channel: Channel, ended: Callable[[], str]) -> None:
        self._channel = channel
        self._ended = ended
        self._answers: deque[asyncio.Future[object]] = deque()
        self._closing = False
        self._gone = False

    async def ask(self, request: object) -> object:
        """The answer. FaultFailed when the agent refuses, has ended, or does not answer in time."""
        if self._gone or self._channel.closing:
            raise FaultFailed("the kernel network has ended")
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        self._channel.send(request)
        try:
            async with asyncio.timeout(ANSWER_S):
                message = await asyncio.shield(answer)
        except TimeoutError:
            raise FaultFailed(f"the kernel network did not answer within {ANSWER_S:g} s") from None
        if isinstance(message, Refused):
            raise FaultFailed(f"the kernel network refused: {message.reason}")
        return message

    async def receive(self, died: Callable[[str], None]) -> None:
        """Take answers until the agent has ended; `died` is called unless this side has closed the connection."""
        async for message in self._channel:
            answer = self._answers.popleft()
            if not answer.done():
                answer.set_result(message)
        self._gone = True
        reason = self._ended()
        for answer in self._answers:
            if not answer.done():
                answer.set_result(Refused(reason))
        self._answers.clear()
        if not self._closing:
            died(reason)

    def close(self) -> None:
        """The agent ends then."""
        self._closing = True
        self._channel.close()
