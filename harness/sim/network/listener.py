"""`Listener`: a listening port of a simulated machine."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import TYPE_CHECKING, Any

from harness.sim.network.addresses import family_of, socket_name

if TYPE_CHECKING:
    from harness.sim.network.machine import Machine
    from harness.sim.network.tls import Tls
    from harness.sim.network.transport import SimTransport


class Listener(asyncio.AbstractServer):
    """Also what `loop.create_server` returns."""

    def __init__(
        self,
        machine: Machine,
        factory: Callable[[], asyncio.BaseProtocol],
        addresses: Sequence[str],
        port: int,
        context: Context,
        tls: Tls | None = None,
    ) -> None:
        self._machine = machine
        self._factory = factory
        self._addresses = addresses
        self._tls = tls
        self._context = context
        self.port = port
        self._open = False
        self._backlog: list[SimTransport] = []
        self._accepted: dict[SimTransport, None] = {}
        self._serving: asyncio.Future[None] | None = None
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def sockets(self) -> tuple[_ListeningSocket, ...]:
        """One for each address."""
        return tuple(_ListeningSocket(each, self.port) for each in self._addresses) if self._open else ()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def is_serving(self) -> bool:
        return self._open

    async def start_serving(self) -> None:
        self.open()

    def open(self) -> None:
        if not self._open:
            for address in self._addresses:
                if self._machine.is_taken(address, self.port):
                    name = socket_name(address, self.port)
                    raise OSError(
                        errno.EADDRINUSE,
                        f"error while attempting to bind on address {name!r}: address already in use",
                    )
            for address in self._addresses:
                self._machine.listeners[address, self.port] = self
            self._open = True
            self._machine.on_listen()

    async def serve_forever(self) -> None:
        """Until cancelled, or closed by someone else; then wait for the connections."""
        if self._serving is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        self.open()
        self._serving = asyncio.get_running_loop().create_future()
        try:
            await self._serving
        except asyncio.CancelledError:
            try:
                self.close()
                await self.wait_closed()
            finally:
                raise
        finally:
            self._serving = None

    def close(self) -> None:
        """Listen no more; what was accepted lives on, what waits to be accepted is reset."""
        if self._open:
            self._open = False
            for address in self._addresses:
                self._machine.listeners.pop((address, self.port), None)
            for end in self._backlog:
                end.vanish(reset=True)
            self._backlog.clear()
            if self._serving is not None:
                self._serving.cancel()
            self._wake()

    async def wait_closed(self) -> None:
        """Until it is closed and the last connection it accepted has ended (as since Python 3.12)."""
        if self._open or self._accepted:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def _wake(self) -> None:
        if not self._open and not self._accepted:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def close_clients(self) -> None:
        for end in list(self._accepted):
            end.close()

    def abort_clients(self) -> None:
        for end in list(self._accepted):
            end.abort()

    def accept(self, end: SimTransport) -> None:
        """Take a new connection; the process gets it now, or when it runs again."""
        if self._machine.running:
            self._begin_soon(end)
        else:
            self._machine.note_held(end.connection, 0, end.peer.sender.cause)
            self._backlog.append(end)

    def accept_backlog(self) -> None:
        backlog, self._backlog = self._backlog, []
        for end in backlog:
            if not end.gone:
                self._begin_soon(end)

    def ended(self, end: SimTransport) -> None:
        """The process knows that this connection is lost."""
        self._accepted.pop(end, None)
        self._wake()

    def _begin_soon(self, end: SimTransport) -> None:
        asyncio.get_running_loop().call_soon(self._begin, end, context=self._context)

    def _begin(self, end: SimTransport) -> None:
        if end.gone:
            return
        self._accepted[end] = None
        end.listener = self
        protocol = self._factory()
        if self._tls is not None:
            protocol = self._tls.wrap(self.get_loop(), protocol)
        end.attach(protocol, self._context)
        protocol.connection_made(end)


class _ListeningSocket:
    """Enough of a socket to ask where it listens."""

    type = socket.SOCK_STREAM

    def __init__(self, address: str, port: int) -> None:
        self.family = family_of(address)
        self.proto = 0 if self.family == socket.AF_UNIX else socket.IPPROTO_TCP
        self._name = socket_name(address, port)

    def getsockname(self) -> Any:
        return self._name

    def fileno(self) -> int:
        """-1: it has no descriptor."""
        return -1
