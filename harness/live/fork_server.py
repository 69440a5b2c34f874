"""`... harness.live.fork_server FD`: loads the system once and forks a process for every node.

A forked node needs no imports, so it starts in milliseconds. The fork server has no threads and no event loop; it dies
with the harness, and every node dies with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import selectors
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from harness.live import messages
from harness.live.kernel.namespaces import enter
from harness.live.resources import Process
from harness.live.supervised import die_with_parent
from harness.live.supervisor import supervised_process
from harness.live.tasks import background
from harness.live.workspace import Workspace
from harness.runtime.contract import NotReady
from harness.runtime.messages import Channel, SocketChannel
from harness.system import System, find_system


def main(fd: int) -> int:
    """Serve the harness at the other end of the socket `fd` until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = SocketChannel(messages.FORK_SERVER, socket.socket(fileno=fd))
    run: messages.RunInfo = control.receive()
    import aiohttp.web  # noqa: F401 (imported once for all nodes)

    import harness.live.node  # noqa: F401

    system = find_system(run.reference)
    control.send(messages.Loaded())
    wake, wake_end = socket.socketpair()
    wake.setblocking(False)
    wake_end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_end.fileno(), warn_on_full_buffer=False)
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    selector.register(wake, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is wake:
                with contextlib.suppress(BlockingIOError):
                    wake.recv(4096)
                _reap(control)
                continue
            launch, fds = control.receive_with_descriptors()
            if launch is None:
                return 0
            (fd,) = fds
            parent = os.getpid()
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                selector.close()
                for each in (control, wake, wake_end):
                    each.close()
                _run_child(system, run, launch, socket.socket(fileno=fd), parent)
            os.close(fd)
            control.send(messages.Launched(launch.node, launch.incarnation, pid))


def _reap(control: SocketChannel) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        control.send(messages.Exited(pid, os.waitstatus_to_exitcode(status)))


def _run_child(
    system: System, run: messages.RunInfo, launch: messages.Launch, line: socket.socket, parent: int
) -> Any:
    """Never returns."""
    code = 1
    try:
        os.setsid()
        die_with_parent(parent)
        if launch.namespace is not None:
            enter(launch.namespace)
        log = Path(run.directory) / "logs" / f"{launch.node}.log"
        with open(log, "ab", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        logging.basicConfig(
            level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
        )
        from harness.live.names import NamesLoop
        from harness.live.node import run_node

        asyncio.run(run_node(system, run, launch, line), loop_factory=NamesLoop)
        code = 0
    except BaseException:
        logging.getLogger(__name__).exception("node %s", launch.node)
    finally:
        logging.shutdown()
        os._exit(code)


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
            raise NotReady(f"the fork server has ended: {error}\n{self.log_tail(LOG)}") from error
        pid = await answer
        self._workspace.ledger.add(Process.of(pid, f"node {launch.node}"))
        self._on_exit[pid] = on_exit
        if pid in self._early_exits:
            self._report_exit(pid, self._early_exits.pop(pid))
        return pid

    async def receive(self) -> None:
        """Handle the messages of the fork server, until it has ended."""
        try:
            async for message in self._channel:
                match message:
                    case messages.Launched(node, incarnation, pid):
                        answer = self._launches.pop((node, incarnation))
                        if not answer.done():  # the task that launched it may have been cancelled
                            answer.set_result(pid)
                    case messages.Exited(pid, status):
                        if pid in self._on_exit:
                            self._report_exit(pid, status)
                        else:
                            self._early_exits[pid] = status
        finally:
            # Also when Ctrl-C cancels every task: no exit arrives any more, and no task may wait for one.
            self._end_all()

    def _end_all(self) -> None:
        """The fork server has ended or ends now, and the kernel kills every node with it."""
        for answer in self._launches.values():
            if not answer.done():
                answer.set_exception(NotReady(f"the fork server has ended\n{self.log_tail(LOG)}"))
        self._launches.clear()
        for pid in list(self._on_exit):
            self._report_exit(pid, -signal.SIGKILL)

    def _report_exit(self, pid: int, status: int) -> None:
        asyncio.get_running_loop().call_soon(self._on_exit.pop(pid), status)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
