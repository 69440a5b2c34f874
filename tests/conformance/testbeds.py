"""Two testbeds with a server and a client: the machine's own loopback, and the simulated network."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import multiprocessing
import os
import signal
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from multiprocessing.context import ForkServerProcess

from harness.faults.primitives import HostIdentity
from harness.sim.loop import SimLoop
from harness.system import Link
from tests.conformance import programs

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([programs.__name__])  # imported once, not by every server
_TCP_REPAIR = 19
_SYS_PIDFD_GETFD = 438


class Testbed(ABC):
    """One server process (`start`), and the code under test as the client. `host`, `port`: the server's."""

    host: str
    port: int

    @abstractmethod
    def run[T](self, client: Callable[[Testbed], Awaitable[T]]) -> T:
        """Run the client's code; whatever it started is gone afterwards."""

    @abstractmethod
    async def start(self, program: str) -> None:
        """Start a program of `programs` as the server, and return when it listens."""

    @abstractmethod
    async def kill(self) -> None:
        """SIGKILL."""

    @abstractmethod
    async def pause(self) -> None:
        """SIGSTOP."""

    @abstractmethod
    async def resume(self) -> None:
        """SIGCONT."""

    @abstractmethod
    async def lose_power_and_restart(self, program: str) -> None:
        """The server's machine goes without a word, and comes back with a new process."""

    @abstractmethod
    def unanswered(self) -> contextlib.AbstractAsyncContextManager[tuple[str, int]]:
        """An address where a connection attempt meets silence."""

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self.host, self.port)


class Loopback(Testbed):
    host = "127.0.0.1"

    def __init__(self) -> None:
        with socket.create_server((self.host, 0)) as probe:
            self.port = probe.getsockname()[1]
        self._process: ForkServerProcess | None = None

    def run[T](self, client: Callable[[Testbed], Awaitable[T]]) -> T:
        async def main() -> T:
            try:
                return await client(self)
            finally:
                if self._process is not None:
                    await self.kill()

        return asyncio.run(main())

    async def start(self, program: str) -> None:
        ready, child_end = _FORKS.Pipe(duplex=False)
        self._process = _FORKS.Process(
            target=programs.serve, args=(program, self.port, child_end), daemon=True
        )
        with ready, child_end:
            self._process.start()
            child_end.close()
            assert await asyncio.to_thread(ready.recv)

    async def kill(self) -> None:
        process, self._process = self._process, None
        assert process is not None
        process.kill()
        await asyncio.to_thread(process.join)

    @property
    def _pid(self) -> int:
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    async def pause(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    async def resume(self) -> None:
        os.kill(self._pid, signal.SIGCONT)

    async def lose_power_and_restart(self, program: str) -> None:
        """A socket in repair mode (TCP_REPAIR) is closed without FIN or RST, as if it had never been."""
        held = _sockets_of(self._pid)
        for each in held:
            with contextlib.suppress(OSError):  # a listening one
                each.getpeername()
                each.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
        await self.kill()
        for each in held:
            each.close()
        await self.start(program)

    @asynccontextmanager
    async def unanswered(self) -> AsyncIterator[tuple[str, int]]:
        """A listener whose backlog is full: Linux then ignores further SYNs."""
        with socket.socket() as listener, contextlib.ExitStack() as fillers:
            listener.bind((self.host, 0))
            listener.listen(0)
            for _ in range(2):
                filler = fillers.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            yield listener.getsockname()


def can_lose_power() -> bool:
    """Whether this process may put sockets in repair mode and take them from another process."""
    if not hasattr(os, "pidfd_open"):
        return False
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as one,
    ):
        try:
            one.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
            one.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 0)
        except OSError:
            return False
    return True


def _sockets_of(pid: int) -> list[socket.socket]:
    """Duplicates of all IPv4 stream sockets of another process."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    found = []
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                continue
            fd = libc.syscall(_SYS_PIDFD_GETFD, pidfd, int(name), 0)
            if fd < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            each = socket.socket(fileno=fd)
            if each.family == socket.AF_INET and each.type == socket.SOCK_STREAM:
                found.append(each)
            else:
                each.close()
    finally:
        os.close(pidfd)
    return found


class Simulated(Testbed):
    host = "server"
    port = 8080

    def __init__(self) -> None:
        self._loop = SimLoop(seed=1)
        network = self._loop.network
        network.add_link(Link("here", "there", rtt_s=0.001, bandwidth_bps=10e9))
        self._client = network.add_machine(HostIdentity("client", "client", "here"))
        self._server = network.add_machine(HostIdentity("server", "server", "there"))
        self._silent = network.add_machine(HostIdentity("silent", "server", "there"))
        self._silent.power_off()

    def run[T](self, client: Callable[[Testbed], Awaitable[T]]) -> T:
        outcome: list[T] = []

        async def main() -> None:
            outcome.append(await client(self))

        async def harness() -> None:
            await self._client.start(main)

        self._loop.run(harness())
        return outcome[0]

    async def start(self, program: str) -> None:
        ready = asyncio.Event()

        async def main() -> None:
            await getattr(programs, program)(self.port, ready.set)

        self._server.start(main)
        await ready.wait()

    async def kill(self) -> None:
        self._server.kill()

    async def pause(self) -> None:
        self._server.pause()

    async def resume(self) -> None:
        self._server.resume()

    async def lose_power_and_restart(self, program: str) -> None:
        self._server.power_off()
        await asyncio.sleep(1)
        await self.start(program)

    @asynccontextmanager
    async def unanswered(self) -> AsyncIterator[tuple[str, int]]:
        yield "silent", 80
