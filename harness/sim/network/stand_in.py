"""`StandIn`: what a `socket.socket` of a simulated process stands for. The socket itself reaches nothing.

The `sock_*` methods of the loop act on it; so do `bind`, `listen`, `getsockname`, `getpeername` and `close` of the
socket (`harness.sim.boundary` replaces them). Other methods would block, and are refused there.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from harness.sim.network import addresses

if TYPE_CHECKING:
    from harness.sim.network.datagram import DatagramEnd
    from harness.sim.network.listener import Listener
    from harness.sim.network.network import SimNetwork
    from harness.sim.network.transport import SimTransport


class StandIn:
    """Of one socket. All of it acts on the machine of the process that calls."""

    def __init__(self, network: SimNetwork, sock: socket.socket) -> None:
        self._network = network
        self._family, self._type = sock.family, sock.type
        self.bound: tuple[str, int] | None = None
        self.end: SimTransport | None = None
        """Its connection, until something else takes that over."""
        self._listener: Listener | None = None
        self._accepted: asyncio.Queue[SimTransport] = asyncio.Queue()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._datagrams: DatagramEnd | None = None
        self._received: asyncio.Queue[tuple[bytes, Any]] = asyncio.Queue()

    # ------------------------------------------------------------------ methods of the socket

    def bind(self, name: Any) -> None:
        """OSError where the machine does not have the address, or it is in use."""
        if self.bound is not None:
            raise OSError(errno.EINVAL, "Invalid argument")
        if self._family == socket.AF_UNIX:
            self.bound = (addresses.unix_address(name), 0)
            return
        address = addresses.ANY[self._family] if name[0] == "" else self._resolve(name[0])
        if not self._network.is_here(address):
            raise addresses.not_available()
        if self._type == socket.SOCK_DGRAM:
            self._open_datagrams((address, name[1]), None)
        else:
            self.bound = (address, self._network.reserve(address, name[1]))

    def _resolve(self, name: str) -> str:
        return self._network.resolve(name, self._family)[0]

    def listen(self, *_: int) -> None:
        if self.bound is None:
            self.bind(("", 0))
        assert self.bound is not None
        if self._listener is None:
            self._listener = self._network.listen(lambda: _Accepting(self), [self.bound[0]], self.bound[1])

    def accepted(self, end: SimTransport) -> None:
        self._accepted.put_nowait(end)

    def name(self) -> Any:
        """As `getsockname`; None where it is not bound."""
        if self.end is not None:
            return self.end.sockname
        return None if self.bound is None else addresses.socket_name(*self.bound)

    def peer_name(self) -> Any:
        """As `getpeername`."""
        if self.end is not None:
            return self.end.peername
        if self._datagrams is not None and self._datagrams.remote is not None:
            return addresses.socket_name(*self._datagrams.remote)
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    def close(self) -> None:
        for each in (self._listener, self._datagrams, self.end):
            if each is not None:
                each.close()
        self._listener = self._datagrams = self.end = None

    # ------------------------------------------------------------------ methods of the loop

    async def connect(self, name: Any) -> None:
        if self._family == socket.AF_UNIX:
            self.end = await self._network.connect(addresses.unix_address(name), 0)
        elif self._type == socket.SOCK_DGRAM:
            remote = (self._resolve(name[0]), int(name[1]))
            own = self.bound or (self._network.own_address(remote[0]), 0)
            if self._datagrams is not None:
                self._datagrams.close()
            self._open_datagrams(own, remote)
        else:
            self.end = await self._network.connect(self._resolve(name[0]), int(name[1]), self.bound)

    async def accept(self) -> SimTransport:
        if self._listener is None:
            raise OSError(errno.EINVAL, "Invalid argument")
        return await self._accepted.get()

    def _streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None:
            if self.end is None:
                raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
            self._reader = asyncio.StreamReader(loop=self._network.loop)
            protocol = asyncio.StreamReaderProtocol(self._reader, loop=self._network.loop)
            self.end.attach(protocol, copy_context())
            protocol.connection_made(self.end)
            self.end.resume_reading()
            self._writer = asyncio.StreamWriter(self.end, protocol, self._reader, self._network.loop)
        return self._reader, self._writer

    async def receive(self, n_bytes: int) -> bytes:
        if self._type == socket.SOCK_DGRAM:
            return (await self.receive_from(n_bytes))[0]
        return await self._streams()[0].read(n_bytes)

    async def send(self, data: Any) -> None:
        if self._type == socket.SOCK_DGRAM:
            await self.send_to(data, None)
            return
        _, writer = self._streams()
        writer.write(bytes(data))
        await writer.drain()

    def _open_datagrams(self, own: tuple[str, int], remote: tuple[str, int] | None) -> DatagramEnd:
        end = self._datagrams = self._network.open_datagrams(own, remote)
        end.attach(_Datagrams(self._received), copy_context())
        self.bound = end.own
        return end

    async def receive_from(self, n_bytes: int) -> tuple[bytes, Any]:
        data, name = await self._received.get()
        return data[:n_bytes], name

    async def send_to(self, data: Any, name: Any) -> int:
        end = self._datagrams or self._open_datagrams((addresses.ANY[self._family], 0), None)
        end.sendto(data, name)
        return len(data)


class _Accepting(asyncio.Protocol):
    """Holds a new connection until somebody accepts it."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in

    def connection_made(self, transport: Any) -> None:
        transport.pause_reading()
        self._stand_in.accepted(transport)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, received: asyncio.Queue[tuple[bytes, Any]]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._received.put_nowait((data, addr))
