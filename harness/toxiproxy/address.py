"""`host:port` texts, read and resolved the way Go's `net` package does, with its messages.

A `listen` may leave out the host (any address) and the port (a free one is picked); an `upstream` without a
host means this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import socket
from dataclasses import dataclass
from functools import cached_property

from harness.errors import HarnessError

BACKLOG = min(socket.SOMAXCONN, 4096)
"""Connections that may wait to be accepted."""

type SocketAddress = tuple[str, int] | tuple[str, int, int, int]


class AddressError(HarnessError):
    """A text that is not an address, or a name that does not resolve."""


@dataclass(frozen=True)
class Address:
    """A resolved address. `text` is how it is written; of an any-address it is how it was asked for."""

    text: str
    family: socket.AddressFamily
    at: SocketAddress

    @property
    def wildcard(self) -> bool:
        return self.at[0] in {"0.0.0.0", "::"}

    @cached_property
    def loopback(self) -> bool:
        return ipaddress.ip_address(self.at[0].partition("%")[0]).is_loopback


def split_host_port(text: str) -> tuple[str, str]:
    """(host, port) of `host:port`, `[v6]:port` or `:port`. Raises AddressError."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket:
            raise AddressError(f"address {text}: missing ']' in address")
        if not rest.startswith(":"):
            raise AddressError(f"address {text}: missing port in address")
        port = rest[1:]
    else:
        host, colon, port = text.rpartition(":")
        if not colon:
            raise AddressError(f"address {text}: missing port in address")
        if ":" in host:
            raise AddressError(f"address {text}: too many colons in address")
    if ":" in port:
        raise AddressError(f"address {text}: too many colons in address")
    return host, port


def join_host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def resolve_listen(text: str) -> Address:
    """Where a proxy shall listen. Raises AddressError with Go's message, without the `listen tcp:` prefix."""
    if not text:  # Go reads an empty text as any address and any port
        return Address(":0", *_any(0))
    host, port_text = split_host_port(text)
    port = _port(text, port_text)
    if not host:
        return Address(f":{port}", *_any(port))
    return (await _resolve(host, port))[0]


def literal_upstream(text: str) -> Address | None:
    """Where to connect to, if the text is an IP address and a port that need no look-up."""
    try:
        host, port_text = split_host_port(text)
        return _literal(host, _port(text, port_text)) if host else None
    except AddressError:
        return None


async def resolve_upstream(text: str) -> list[Address]:
    """Where to connect to, IPv4 first. Raises AddressError."""
    host, port_text = split_host_port(text)
    return await _resolve(host or "localhost", _port(text, port_text))


def describe_os_error(error: OSError) -> str:
    """What the operating system said, in Go's words (`address already in use`)."""
    if error.errno == errno.EADDRNOTAVAIL:
        return "cannot assign requested address"
    return os.strerror(error.errno).lower() if error.errno else str(error)


def listening_socket(address: Address) -> socket.socket:
    """A listening, non-blocking socket. An any-address listens on IPv4 and IPv6. Raises OSError."""
    sock = bind_socket(address)
    try:
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


async def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """Listening, non-blocking sockets on every address of a host. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    failure: OSError | None = None
    for family, _, _, _, at in dict.fromkeys(found):
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:  # a family that this machine does not have
            failure = error
            continue
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(at)
            sock.listen(BACKLOG)
        except OSError as error:
            sock.close()
            failure = error
            if error.errno == errno.EADDRNOTAVAIL:
                continue
            for other in sockets:
                other.close()
            raise
        sockets.append(sock)
    if not sockets:
        raise failure or OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    return sockets


def bind_socket(address: Address) -> socket.socket:
    """A non-blocking socket that has the address and does not listen: connects are refused, and nobody else gets it.

    Raises OSError.
    """
    family, at = _any(address.at[1]) if address.wildcard else (address.family, address.at)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address.wildcard else 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
        sock.bind(at)
        if address.loopback:
            avoid_pacing(sock)
    except OSError:
        sock.close()
        raise
    return sock


def avoid_pacing(sock: socket.socket) -> None:
    """Loopback loses nothing and has no rate to find: a congestion control that paces (BBR) only costs processor
    time there. Reno is in every Linux kernel and free to use; accepted sockets inherit it from the listening one."""
    if hasattr(socket, "TCP_CONGESTION"):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")


def local_address(sock: socket.socket) -> str:
    """The address that a socket is bound to, as text."""
    host, port = sock.getsockname()[:2]
    return join_host_port(host, port)


def _any(port: int) -> tuple[socket.AddressFamily, SocketAddress]:
    if socket.has_dualstack_ipv6():
        return socket.AF_INET6, ("::", port, 0, 0)
    return socket.AF_INET, ("0.0.0.0", port)


def _port(text: str, port: str) -> int:
    if not port:
        return 0
    if port.isascii() and port.lstrip("+-").isdigit():
        number = int(port) if len(port) < 10 else -1
        if not 0 <= number <= 65535:
            raise AddressError(f"address {port}: invalid port")
        return number
    try:
        return socket.getservbyname(port, "tcp")
    except (OSError, UnicodeError, ValueError):
        raise AddressError(f"lookup tcp/{port}: unknown port") from None


async def _resolve(host: str, port: int) -> list[Address]:
    literal = _literal(host, port)
    if literal is not None:
        return [literal]
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, ValueError):
        raise AddressError(f"lookup {host}: no such host") from None
    addresses = [
        Address(join_host_port(str(at[0]), port), family, at)  # type: ignore[arg-type]
        for family, _, _, _, at in found
        if family in {socket.AF_INET, socket.AF_INET6}
    ]
    if not addresses:
        raise AddressError(f"lookup {host}: no such host")
    return sorted(addresses, key=lambda address: address.family is not socket.AF_INET)


def _literal(host: str, port: int) -> Address | None:
    """The address of a host given as numbers, which needs no look-up."""
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return None
    if number.version == 6 and number.ipv4_mapped is not None:  # as in Go, [::ffff:127.0.0.1] is 127.0.0.1
        number = number.ipv4_mapped
    text = join_host_port(str(number), port)
    if number.version == 4:
        return Address(text, socket.AF_INET, (str(number), port))
    if "%" in host:  # a scope needs its interface's number: ask the resolver
        return None
    return Address(text, socket.AF_INET6, (str(number), port, 0, 0))
