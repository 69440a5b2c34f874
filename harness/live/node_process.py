"""`NodeProcess`: one process of a node, and the channel to it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING

from harness.faults.primitives import FaultFailed
from harness.live import messages
from harness.live.fork_server import ForkServer
from harness.runtime.contract import NotReady
from harness.runtime.messages import Channel
from harness.text import describe_error

if TYPE_CHECKING:
    from harness.live.nodes import LiveNode

EXIT_S = 10.0
"""How long a killed process may take until the kernel has removed it."""

ANSWER_S = 2.0
"""How long a process may take to report its counts, and how long its last reports may take to arrive."""


async def launch_process(fork_server: ForkServer, launch: messages.Launch, node: LiveNode) -> NodeProcess:
    """Start a process. NotReady when the fork server has ended."""
    own, theirs = socket.socketpair()
    exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    with theirs:
        pid = await fork_server.launch(launch, theirs, exited.set_result)
    return NodeProcess(node, pid, exited, await Channel.open(messages.NODE, own))


class NodeProcess:
    """`exited`: its exit status, once the kernel has removed it."""

    def __init__(
        self,
        node: LiveNode,
        pid: int,
        exited: asyncio.Future[int],
        channel: Channel,
    ) -> None:
        self.pid = pid
        self.killed = False
        """Whether the harness has killed it."""
        self.end_reason: str | None = None
        """Why its service has ended, as it reported."""
        self.counts = messages.Counts()
        self._node = node
        self._exited = exited
        self._channel = channel
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._flushes: dict[int, asyncio.Future[None]] = {}
        self._numbers = count(1)
        self._running = asyncio.create_task(self._run())

    @property
    def alive(self) -> bool:
        return not self._exited.done()

    async def ready(self) -> None:
        """Return when its service listens. NotReady when it ends before that."""
        await asyncio.shield(self._ready)

    def send(self, message: object) -> None:
        """Does nothing when it has ended."""
        self._channel.send(message)

    async def flush(self) -> None:
        """Return when all reports of the process until now have arrived, or when it does not answer."""
        number = next(self._numbers)
        answer = self._flushes[number] = asyncio.get_running_loop().create_future()
        self.send(messages.Flush(number))
        await asyncio.wait({answer, self._running}, timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        self._flushes.pop(number, None)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and its children; does nothing when it has ended."""
        if self.alive:
            # The fork server reports the exit before the id is used again. Its children are in its process group;
            # just after the fork there is none yet.
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                os.kill(self.pid, number)

    async def kill(self) -> None:
        """SIGKILL; returns when the kernel has removed it, and its node knows."""
        if not self._running.done():
            self.killed = self.killed or self.alive
            self.signal(signal.SIGKILL)
            async with asyncio.timeout(EXIT_S):
                await asyncio.shield(self._running)

    # ------------------------------------------------------------------ what the process sends

    async def _run(self) -> None:
        """Take messages until the process has ended."""
        receiving = asyncio.create_task(self._receive())
        status = await self._exited
        # Its last messages may still be in the socket.
        await asyncio.wait({receiving}, timeout=ANSWER_S)
        receiving.cancel()
        await asyncio.wait({receiving})
        self._channel.close()
        if self.killed:
            self._fail_ready("it was stopped before it listened")
        else:
            self.end_reason = self.end_reason or _describe_exit(status)
            self._fail_ready(self.end_reason)
        self._node.exited(self)

    def _fail_ready(self, reason: str) -> None:
        if not self._ready.done():
            self._ready.set_exception(NotReady(reason))
            self._ready.exception()  # retrieved here: nobody may wait for it

    async def _receive(self) -> None:
        try:
            await self._handle_messages()
        except Exception as error:
            self._node.fail(f"a message of process {self.pid} failed: {describe_error(error)}")

    async def _handle_messages(self) -> None:
        async with asyncio.TaskGroup() as lookups:
            async for message in self._channel:
                match message:
                    case messages.Ready():
                        self._node.report(self, message)
                        if not self._ready.done():
                            self._ready.set_result(None)
                    case messages.Flushed(number):
                        if (answer := self._flushes.pop(number, None)) and not answer.done():
                            answer.set_result(None)
                    case messages.Resolve(number, _, name, port):
                        lookups.create_task(self._resolve(number, name, port))
                    case messages.Ended(reason):
                        self.end_reason = reason
                    case _:
                        self._node.report(self, message)

    async def _resolve(self, number: int, name: str, port: int) -> None:
        addresses: Sequence[messages.Address] = ()
        try:
            addresses = await self._node.route(name, port)
        except FaultFailed as error:
            self._node.fail(f"no route to {name}: {error}")
        self.send(messages.Route(number, tuple(addresses)))


def _describe_exit(status: int) -> str:
    if status < 0:
        return f"its process was killed by {signal.Signals(-status).name}"
    return f"its process ended with exit code {status}"
