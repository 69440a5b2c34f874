"""`ForkServer`: the harness's side of the process that forks the nodes (`harness.live.fork_server`)."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from harness.live import messages
from harness.live.resources import Process
from harness.live.supervisor import supervised_process
from harness.live.tasks import background
from harness.live.workspace import Workspace
from harness.runtime.contract import NotReady
from harness.runtime.messages import Channel

START_S = 30.0
"""How long the fork server may take to load the system."""

LOG = "fork-server"

type OnExit = Callable[[int], None]


@asynccontextmanager
async def fork_server(workspace: Workspace, run: messages.RunInfo) -> AsyncIterator[ForkServer]:
    """A fork server that has loaded the system; it and every node are killed at the end of the block.

    NotReady when it does not start.
    """
    own, theirs = socket.socketpair()
    with theirs:
        fd = theirs.fileno()
        async with supervised_process(workspace, LOG, "harness.live.fork_server", [str(fd)], fds=[fd]):
            theirs.close()
            async with Channel.on(messages.FORK_SERVER, own) as channel:
                channel.send(run)
                try:
                    async with asyncio.timeout(START_S):
                        answer = await channel.receive()
                except TimeoutError:
                    raise NotReady(f"the fork server did not start within {START_S:g} s") from None
                if answer is None:
                    raise NotReady(f"the fork server ended:\n{workspace.log_tail(LOG)}")
                server = ForkServer(workspace, channel)
                async with background(server.receive()):
                    yield server


class ForkServer:
    """`launch` forks a process for a node, and calls the function that came with it when that process exits."""

    def __init__(self, workspace: Workspace, channel: Channel) -> None:
        self._workspace = workspace
        self._channel = channel
        self._launches: dict[tuple[str, int], asyncio.Future[int]] = {}
        self._on_exit: dict[int, OnExit] = {}
        self._early_exits: dict[int, int] = {}

    def log_tail(self, name: str) -> str:
        """The last lines of a process's log."""
        return self._workspace.log_tail(name)

    async def launch(self, launch: messages.Launch, line: socket.socket, on_exit: OnExit) -> int:
        """Fork; returns the process id. `on_exit` is called with the exit status, never before this returns."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._launches[launch.node, launch.incarnation] = answer
        try:
            self._channel.send_descriptors(launch, [line.fileno()])
        except OSError as error:
            raise NotReady(f"the fork server is gone: {error}\n{self.log_tail(LOG)}") from error
        pid = await answer
        self._workspace.ledger.add(Process.of(pid, f"node {launch.node}"))
        self._on_exit[pid] = on_exit
        if pid in self._early_exits:
            self._report_exit(pid, self._early_exits.pop(pid))
        return pid

    async def receive(self) -> None:
        """Handle the messages of the fork server, until it is gone."""
        try:
            async for message in self._channel:
                match message:
                    case messages.Launched(node, incarnation, pid):
                        answer = self._launches.pop((node, incarnation))
                        if not answer.done():  # whoever launched it may have been cancelled
                            answer.set_result(pid)
                    case messages.Exited(pid, status):
                        if pid in self._on_exit:
                            self._report_exit(pid, status)
                        else:
                            self._early_exits[pid] = status
        finally:
            # Also when Ctrl-C cancels every task: no exit is heard any more, and nobody may wait for one.
            self._end_all()

    def _end_all(self) -> None:
        """The fork server is gone or ends now, and the kernel kills every node with it."""
        for answer in self._launches.values():
            if not answer.done():
                answer.set_exception(NotReady(f"the fork server is gone\n{self.log_tail(LOG)}"))
        self._launches.clear()
        for pid in list(self._on_exit):
            self._report_exit(pid, -signal.SIGKILL)

    def _report_exit(self, pid: int, status: int) -> None:
        asyncio.get_running_loop().call_soon(self._on_exit.pop(pid), status)
