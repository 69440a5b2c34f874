"""The harness's side of the kernel network: starts the process that holds it, and asks it."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections import deque
from collections.abc import Callable

from harness.faults.primitives import FaultFailed
from harness.live import messages
from harness.live.kernel.layout import CLIENTS_LINE, HUB, lines
from harness.live.kernel.namespaces import VARIABLE, MakeSocket, sockets_in
from harness.live.kernel.requests import (
    Build,
    Built,
    Change,
    Counted,
    Lost,
    Queue,
    Queued,
    Queues,
    Refused,
    Within,
)
from harness.live.processes import run_environment
from harness.live.resources import NetworkNamespaces
from harness.live.workspace import Workspace
from harness.runtime.contract import NotReady

ANSWER_S = 30.0
END_S = 5.0
"""How long its process may take to end the connections that are left."""


class KernelNetwork:
    """`start` once, then anything else; `end` in any case. `died` is called with the reason when it is gone before."""

    def __init__(self, workspace: Workspace, died: Callable[[str], None] = lambda _: None) -> None:
        self._workspace = workspace
        self._died = died
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._asked: deque[asyncio.Future[object]] = deque()
        self._ending = False
        self._built = Built({}, {})
        self._held: dict[str, int] = {}

    async def start(self, nodes: dict[str, str]) -> None:
        """Make all namespaces. `nodes`: addresses by name. NotReady, with the reason, when it cannot."""
        own, theirs = socket.socketpair()
        with theirs, self._workspace.log("kernel-network") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                # Not supervised: it has work left to do when this process dies, and ends when the line does.
                *("-m", "harness.live.kernel.agent", str(theirs.fileno())),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=run_environment(self._workspace.directory, ends_itself=True),
                start_new_session=True,
            )
        reader, self._writer = await asyncio.open_connection(sock=own)
        self._reading = asyncio.ensure_future(self._read(reader))
        try:
            built = await self._ask(Build(lines(nodes)))
        except FaultFailed as error:
            raise NotReady(f"no kernel network: {error}") from error
        assert isinstance(built, Built)
        self._built = built
        self._workspace.ledger.add(NetworkNamespaces(inodes=built.inodes))
        for line in (HUB, CLIENTS_LINE):
            self._held[line] = os.open(built.paths[line], os.O_RDONLY | os.O_CLOEXEC)

    # ------------------------------------------------------------------ namespaces

    def path(self, node: str) -> str:
        """What a node's process enters."""
        return self._built.paths[f"node {node}"]

    def hub_environment(self) -> dict[str, str]:
        """For the process that is to run where the proxies are."""
        return {VARIABLE: self._built.paths[HUB]}

    def clients_environment(self) -> dict[str, str]:
        """For a process that is to run where clients are."""
        return {VARIABLE: self._built.paths[CLIENTS_LINE]}

    def hub_sockets(self) -> MakeSocket:
        return sockets_in(self._held[HUB])

    def client_sockets(self) -> MakeSocket:
        return sockets_in(self._held[CLIENTS_LINE])

    # ------------------------------------------------------------------ rules and queues

    async def change(self, change: Change) -> dict[int, Lost]:
        """FaultFailed with what the kernel said."""
        counted = await self._ask(change)
        assert isinstance(counted, Counted)
        return dict(counted.lost)

    async def within(self, node: str, nft: str) -> None:
        """Rules in a node's own namespace."""
        await self._ask(Within(f"node {node}", nft))

    async def queues(self) -> dict[tuple[int, int], Queue]:
        queued = await self._ask(Queues())
        assert isinstance(queued, Queued)
        return dict(queued.queues)

    # ------------------------------------------------------------------ the line

    async def _ask(self, request: object) -> object:
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if self._writer is None or self._writer.is_closing() or (self._reading and self._reading.done()):
            raise FaultFailed("the kernel network is gone")
        self._asked.append(answer)
        self._writer.write(messages.frame(request))
        try:
            async with asyncio.timeout(ANSWER_S):
                said = await asyncio.shield(answer)
        except TimeoutError:
            raise FaultFailed(f"the kernel network did not answer within {ANSWER_S:g} s") from None
        if isinstance(said, Refused):
            raise FaultFailed(f"the kernel network refused: {said.why}")
        return said

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while (message := await messages.receive(reader)) is not None:
            answer = self._asked.popleft()
            if not answer.done():
                answer.set_result(message)
        why = f"the kernel network's process ended\n{self._workspace.log_tail('kernel-network')}".rstrip()
        for answer in self._asked:
            if not answer.done():
                answer.set_result(Refused(why))
        self._asked.clear()
        if not self._ending:
            self._died(why)

    async def end(self) -> None:
        """Everything in it is gone when its last process is. Idempotent."""
        self._ending = True
        if self._writer is not None:
            self._writer.close()
        if self._process is not None:
            try:
                async with asyncio.timeout(END_S):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._reading is not None:
            await self._reading
        while self._held:
            os.close(self._held.popitem()[1])
