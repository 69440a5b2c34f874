"""The methods of the event loop that make connections, on the simulated network. Arguments and errors are asyncio's."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from asyncio import base_events, staggered
from collections.abc import Callable, Iterable, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any

from harness.sim.network import addresses
from harness.sim.network.listener import Listener
from harness.sim.network.network import SimNetwork
from harness.sim.network.sendfile import send_file
from harness.sim.network.tls import Tls, make_tls
from harness.sim.network.transport import SimTransport
from harness.sim.process import Process

type ProtocolFactory = Callable[[], asyncio.BaseProtocol]

_TYPES = (
    (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    (socket.SOCK_RAW, 0),
)


class ConnectionMethods(base_events.BaseEventLoop):
    """A part of `SimLoop`. All of it acts on the machine of the process that calls."""

    network: SimNetwork

    # ------------------------------------------------------------------ names

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[tuple[Any, ...]]:
        """The simulated names. `socket.gaierror` for an unknown one."""
        return self._addresses(await self._asked_name(host), port, family, type, proto, flags)

    async def _asked_name(self, host: Any) -> Any:
        """The name that is resolved in place of this one: faults of the node that asks may change it."""
        process = Process.current()
        look_up = None if process is None else process.machine.look_up
        if look_up is None or host is None:
            return host
        return await look_up(host.decode() if isinstance(host, bytes) else host)

    def _addresses(
        self, host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[tuple[Any, ...]]:
        name = host.decode() if isinstance(host, bytes) else host
        number = _port_number(port)
        if name is None:
            default = addresses.ANY if flags & socket.AI_PASSIVE else addresses.LOOPBACK
            found = [default[each] for each in default if family in (0, each)]
        else:
            found = self.network.resolve(name, family)
        kinds = [each for each in _TYPES if type in (0, each[0]) and proto in (0, each[1])]
        if not kinds:
            raise socket.gaierror(socket.EAI_SOCKTYPE, "ai_socktype not supported")
        return [
            (addresses.family_of(address), kind, protocol, "", addresses.socket_name(address, number))
            for address in found
            for kind, protocol in kinds
        ]

    # ------------------------------------------------------------------ connections

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect in the simulated network; `sock` stands for the connection."""
        if isinstance(sock, socket.socket):
            await self.network.stand_in(sock).connect(address)
        else:
            (found, *_) = self.network.resolve(address[0])
            self.network.hand_over(sock, await self.network.connect(found, int(address[1])))

    async def sock_accept(self, sock: socket.socket) -> tuple[socket.socket, Any]:
        end = await self.network.stand_in(sock).accept()
        accepted = socket.socket(sock.family, sock.type)
        accepted.setblocking(False)
        self.network.stand_in(accepted).end = end
        return accepted, end.peername

    async def sock_recv(self, sock: socket.socket, n: int) -> bytes:
        return await self.network.stand_in(sock).receive(n)

    async def sock_recv_into(self, sock: socket.socket, buf: Any) -> int:
        view = memoryview(buf).cast("B")
        data = await self.network.stand_in(sock).receive(len(view))
        view[: len(data)] = data
        return len(data)

    async def sock_sendall(self, sock: socket.socket, data: Any) -> None:
        await self.network.stand_in(sock).send(data)

    async def sock_recvfrom(self, sock: socket.socket, bufsize: int) -> tuple[bytes, Any]:
        return await self.network.stand_in(sock).receive_from(bufsize)

    async def sock_recvfrom_into(self, sock: socket.socket, buf: Any, nbytes: int = 0) -> tuple[int, Any]:
        view = memoryview(buf).cast("B")
        data, name = await self.network.stand_in(sock).receive_from(nbytes or len(view))
        view[: len(data)] = data
        return len(data), name

    async def sock_sendto(self, sock: socket.socket, data: Any, address: Any) -> int:
        return await self.network.stand_in(sock).send_to(data, address)

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: ProtocolFactory,
        host: Any = None,
        port: Any = None,
        *,
        ssl: Any = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        sock: socket.socket | None = None,
        local_addr: Any = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        happy_eyeballs_delay: float | None = None,
        interleave: int | None = None,
        all_errors: bool = False,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        if ssl and server_hostname is None:
            if not host:
                raise ValueError("You must set server_hostname when using ssl without a host")
            server_hostname = host
        tls = make_tls(
            ssl,
            server_side=False,
            server_hostname=server_hostname,
            handshake_timeout=ssl_handshake_timeout,
            shutdown_timeout=ssl_shutdown_timeout,
        )
        if sock is not None:
            if host is not None or port is not None:
                raise ValueError("host/port and sock can not be specified at the same time")
            if getattr(sock, "type", socket.SOCK_STREAM) != socket.SOCK_STREAM:
                raise ValueError(f"A Stream Socket was expected, got {sock!r}")
            end = self.network.take_over(sock)
            sock.close()
        elif host is None and port is None:
            raise ValueError("host and port was not specified and no sock specified")
        else:
            name = await self._asked_name(host)
            infos = self._addresses(name, port, family, socket.SOCK_STREAM, proto, flags)
            local = None if local_addr is None else self._local(local_addr, family)
            end = await self._connect_any(
                [info[4] for info in infos], local, happy_eyeballs_delay, all_errors
            )
        return await self._attach(end, protocol_factory, tls)

    async def _connect_any(
        self,
        names: Sequence[tuple[Any, ...]],
        local: tuple[str, int] | None,
        delay_s: float | None,
        all_errors: bool,
    ) -> SimTransport:
        errors: list[Exception] = []

        async def connect(name: tuple[Any, ...]) -> SimTransport:
            try:
                return await self.network.connect(name[0], name[1], local)
            except OSError as error:
                errors.append(error)
                raise

        if delay_s is None or len(names) == 1:
            for name in names:
                try:
                    return await connect(name)
                except OSError:
                    continue
        else:
            attempts = (partial(connect, name) for name in names)
            end: SimTransport | None
            end, _, _ = await staggered.staggered_race(attempts, delay_s, loop=self)
            if end is not None:
                return end
        if all_errors:
            raise ExceptionGroup("create_connection failed", errors)
        if len(errors) == 1 or len({str(error) for error in errors}) == 1:
            raise errors[0]
        raise OSError("Multiple exceptions: " + ", ".join(map(str, errors)))

    def _local(self, name: Any, family: int) -> tuple[str, int]:
        """The address and port to bind to. OSError where it is not one of this machine."""
        host, port = name[0], _port_number(name[1])
        for address in self.network.resolve(host, family):
            if self.network.is_here(address):
                return address, port
        raise OSError(
            errno.EADDRNOTAVAIL,
            f"error while attempting to bind on address {(host, port)!r}: cannot assign requested address",
        )

    async def _attach(
        self, end: SimTransport, factory: ProtocolFactory, tls: Tls | None
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Give a new connection to its protocol, after the handshake of TLS if there is one."""
        protocol = factory()
        if tls is None:
            end.attach(protocol, copy_context())
            protocol.connection_made(end)
            return end, protocol
        waiter = self.create_future()
        wrapped = tls.wrap(self, protocol, waiter)
        end.attach(wrapped, copy_context())
        wrapped.connection_made(end)
        try:
            await waiter
        except BaseException:
            end.close()
            raise
        return wrapped._app_transport, protocol

    async def create_unix_connection(  # type: ignore[override]
        self,
        protocol_factory: ProtocolFactory,
        path: Any = None,
        *,
        ssl: Any = None,
        sock: socket.socket | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Connect to a Unix socket of the same machine."""
        if ssl and server_hostname is None:
            raise ValueError("you have to pass server_hostname when using ssl")
        tls = make_tls(
            ssl,
            server_side=False,
            server_hostname=server_hostname,
            handshake_timeout=ssl_handshake_timeout,
            shutdown_timeout=ssl_shutdown_timeout,
        )
        if (path is None) == (sock is None):
            raise ValueError("exactly one of path and sock must be specified")
        if sock is None:
            end = await self.network.connect(addresses.unix_address(os.fspath(path)), 0)
        else:
            end = self.network.take_over(sock)
            sock.close()
        return await self._attach(end, protocol_factory, tls)

    # ------------------------------------------------------------------ servers

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: ProtocolFactory,
        host: str | Sequence[str] | None = None,
        port: Any = None,
        *,
        family: int = 0,
        flags: int = socket.AI_PASSIVE,
        sock: Any = None,
        backlog: int = 100,
        ssl: Any = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        keep_alive: bool | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
    ) -> Listener:
        tls = make_tls(
            ssl,
            server_side=True,
            handshake_timeout=ssl_handshake_timeout,
            shutdown_timeout=ssl_shutdown_timeout,
        )
        if sock is not None:
            if host is not None or port is not None:
                raise ValueError("host/port and sock can not be specified at the same time")
            if sock.type != socket.SOCK_STREAM:
                raise ValueError(f"A Stream Socket was expected, got {sock!r}")
            bound, number = self.network.release_bound(sock)
            found = [bound]
        elif host is None and port is None:
            raise ValueError("Neither host/port nor sock were specified")
        else:
            number = _port_number(port)
            found = self._bindable(host, number, family, flags)
        return self.network.listen(protocol_factory, found, number, tls=tls, start_serving=start_serving)

    def _bindable(self, host: Any, port: int, family: int, flags: int) -> list[str]:
        """The addresses of this machine among those that the host, or hosts, stand for."""
        hosts: Iterable[Any] = [host or None] if isinstance(host, str | bytes | None) else host
        infos = dict.fromkeys(
            info[4]
            for each in hosts
            for info in self._addresses(each, port, family, socket.SOCK_STREAM, 0, flags)
        )
        found = [info[0] for info in infos if self.network.is_here(info[0])]
        if not found:
            raise OSError(errno.EADDRNOTAVAIL, f"could not bind on any address out of {list(infos)!r}")
        return found

    async def create_unix_server(  # type: ignore[override]
        self,
        protocol_factory: ProtocolFactory,
        path: Any = None,
        *,
        sock: Any = None,
        backlog: int = 100,
        ssl: Any = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
        cleanup_socket: bool = True,
    ) -> Listener:
        """Listen on a Unix socket of this machine. There is no file for it."""
        tls = make_tls(
            ssl,
            server_side=True,
            handshake_timeout=ssl_handshake_timeout,
            shutdown_timeout=ssl_shutdown_timeout,
        )
        if (path is None) == (sock is None):
            raise ValueError("exactly one of path and sock must be specified")
        if sock is not None:
            bound, _ = self.network.release_bound(sock)
        else:
            bound = addresses.unix_address(os.fspath(path))
        return self.network.listen(protocol_factory, [bound], 0, tls=tls, start_serving=start_serving)

    # ------------------------------------------------------------------ datagrams

    async def create_datagram_endpoint(  # type: ignore[override]
        self,
        protocol_factory: ProtocolFactory,
        local_addr: Any = None,
        remote_addr: Any = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: Any = None,
    ) -> tuple[asyncio.DatagramTransport, asyncio.BaseProtocol]:
        if sock is not None:
            if sock.type != socket.SOCK_DGRAM:
                raise ValueError(f"A datagram socket was expected, got {sock!r}")
            own, remote = self.network.release_bound(sock), None
        elif local_addr is None and remote_addr is None:
            if family == 0:
                raise ValueError("unexpected address family")
            own, remote = (addresses.ANY[socket.AddressFamily(family)], 0), None
        else:
            remote = None
            if remote_addr is not None:
                name = await self._asked_name(remote_addr[0])
                remote = (self.network.resolve(name, family)[0], _port_number(remote_addr[1]))
            if local_addr is not None:
                own = self._local(local_addr, family)
            else:
                assert remote is not None
                own = (self.network.own_address(remote[0]), 0)
        end = self.network.open_datagrams(own, remote)
        protocol = protocol_factory()
        end.attach(protocol, copy_context())
        protocol.connection_made(end)
        return end, protocol

    # ------------------------------------------------------------------ files

    async def sendfile(
        self, transport: Any, file: Any, offset: int = 0, count: int | None = None, *, fallback: bool = True
    ) -> int:
        """Send a file in pieces of the size that the kernel takes. Raises as asyncio's own does."""
        if not isinstance(transport, SimTransport):
            return await super().sendfile(transport, file, offset, count, fallback=fallback)
        if transport.is_closing():
            raise RuntimeError("Transport is closing")
        return await send_file(transport, file, offset, count)


def _port_number(port: Any) -> int:
    if isinstance(port, str | bytes):
        text = port.decode() if isinstance(port, bytes) else port
        return int(text) if text.isdigit() else socket.getservbyname(text)
    return int(port or 0)
