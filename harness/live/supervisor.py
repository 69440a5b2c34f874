"""`Supervisor`: the processes of a run: the nursery that forks the nodes, and the proxy server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import signal
import socket
import sys
from collections.abc import Callable, Mapping

from harness.live import messages
from harness.live.fork_server import MESSAGE_BYTES
from harness.live.ledger import Lease
from harness.live.pdeathsig import environment
from harness.runtime.contract import NotReady

BEGIN_S = 30.0
"""How long the nursery and the proxy server may take to begin."""

type ToldExit = Callable[[int], None]


class ForkServer:
    """`launch` forks a process for a node. The exit of each is told to the function that came with it."""

    def __init__(self, lease: Lease, world: messages.World) -> None:
        self._lease = lease
        self._world = world
        self._control: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._launched: dict[tuple[str, int], asyncio.Future[int]] = {}
        self._exits: dict[int, ToldExit] = {}
        self._early: dict[int, int] = {}

    async def start(self) -> None:
        """Begin, and load the system; NotReady when that fails."""
        own, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        own.setblocking(False)
        with theirs, self._lease.log("nursery") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "harness.live.supervised", str(os.getpid()), "harness.live.fork_server"),
                str(theirs.fileno()),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(self._lease.directory),
                start_new_session=True,
            )
        self._lease.process(self._process.pid, "nursery")
        self._control = own
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(own, pickle.dumps(self._world))
        try:
            async with asyncio.timeout(BEGIN_S):
                answer = await loop.sock_recv(own, MESSAGE_BYTES)
        except TimeoutError:
            raise NotReady(f"the nodes' common process did not begin within {BEGIN_S:g} s") from None
        if not answer:
            raise NotReady(f"the nodes' common process ended:\n{self.log('nursery')}")
        loop.add_reader(own.fileno(), self._hear)

    def log(self, name: str, lines: int = 12) -> str:
        """The last lines that a process has printed."""
        return self._lease.logged(name, lines)

    async def launch(self, launch: messages.Launch, line: socket.socket, exited: ToldExit) -> int:
        """Fork; returns the process id. `exited` is called with its exit status, never before this returns."""
        assert self._control is not None
        answer = asyncio.get_running_loop().create_future()
        self._launched[launch.node, launch.incarnation] = answer
        try:
            socket.send_fds(self._control, [pickle.dumps(launch)], [line.fileno()])
        except OSError as error:
            raise NotReady(f"the nodes' common process is gone: {error}\n{self.log('nursery')}") from error
        pid: int = await answer
        self._lease.process(pid, f"node {launch.node}")
        self._exits[pid] = exited
        if pid in self._early:
            self._told_exit(pid, self._early.pop(pid))
        return pid

    def _hear(self) -> None:
        assert self._control is not None
        try:
            data = self._control.recv(MESSAGE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._gone()
            return
        match pickle.loads(data):
            case messages.Launched(node, incarnation, pid):
                self._launched.pop((node, incarnation)).set_result(pid)
            case messages.Exited(pid, status):
                if pid in self._exits:
                    self._told_exit(pid, status)
                else:
                    self._early[pid] = status

    def _gone(self) -> None:
        """The nursery has died, and the kernel has killed every node with it."""
        assert self._control is not None
        asyncio.get_running_loop().remove_reader(self._control.fileno())
        for answer in self._launched.values():
            answer.set_exception(NotReady(f"the nodes' common process is gone\n{self.log('nursery')}"))
        self._launched.clear()
        for pid in list(self._exits):
            self._told_exit(pid, -signal.SIGKILL)

    def _told_exit(self, pid: int, status: int) -> None:
        asyncio.get_running_loop().call_soon(self._exits.pop(pid), status)

    async def end(self) -> None:
        """The nursery goes, and every node with it."""
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()
        await _end(self._process)


class ProxyServer:
    """The embedded Toxiproxy-compatible server, in a process of its own.

    `died` is called with the reason when it ends before `end`: nothing that clients see is the system's doing then.
    """

    def __init__(self, lease: Lease, seed: int, died: Callable[[str], None] = lambda _: None) -> None:
        self._lease = lease
        self._seed = seed
        self._died = died
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None

    async def start(self, variables: Mapping[str, str] | None = None) -> str:
        """Begin; returns the URL of its API. NotReady when it does not come up. `variables` of its environment."""
        with self._lease.log("proxies") as log:
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "harness.live.supervised", str(os.getpid()), "harness.toxiproxy"),
                *("serve", "--host", self._lease.address(0), "--port", "0"),
                *("--seed", str(self._seed)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**environment(self._lease.directory), "LOG_LEVEL": "warn", **(variables or {})},
                start_new_session=True,
            )
        self._lease.process(process.pid, "proxies")
        assert process.stdout is not None
        try:
            async with asyncio.timeout(BEGIN_S):
                line = await process.stdout.readline()
        except TimeoutError:
            line = b""
        if not line:
            raise NotReady(f"the proxy server did not begin\n{self._lease.logged('proxies')}".rstrip())
        url = str(json.loads(line)["api"])
        self._watching = asyncio.ensure_future(self._watch(process))
        return url

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        status = await process.wait()
        self._died(f"the proxy server ended (status {status})\n{self._lease.logged('proxies')}".rstrip())

    async def end(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        await _end(self._process)


async def _end(process: asyncio.subprocess.Process | None) -> None:
    if process is None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()
