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
from pathlib import Path
from typing import Any

from harness.live import messages
from harness.live.kernel.namespaces import enter
from harness.live.pdeathsig import die_with_parent
from harness.runtime.messages import SocketChannel
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
        from harness.live.node import run_node

        asyncio.run(run_node(system, run, launch, line))
        code = 0
    except BaseException:
        logging.getLogger(__name__).exception("node %s", launch.node)
    finally:
        logging.shutdown()
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
