"""Addresses of simulated machines: IPv4, IPv6, and the paths of Unix sockets, which have the prefix `unix:` here."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from typing import Any

UNIX = "unix:"
ANY = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def family_of(address: str) -> socket.AddressFamily:
    if address.startswith(UNIX):
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def socket_name(address: str, port: int) -> Any:
    """As `socket.getsockname` gives it: (address, port), with flow and scope for IPv6; a path for Unix sockets."""
    if address.startswith(UNIX):
        return address.removeprefix(UNIX)
    return (address, port, 0, 0) if ":" in address else (address, port)


def unix_address(path: str | bytes | os.PathLike[str]) -> str:
    return UNIX + os.fsdecode(path)


def is_own(address: str) -> bool:
    """Whether the address means this machine on every machine."""
    return address.startswith("127.") or address in ("::1", *ANY.values())


def literal(name: str) -> str | None:
    """The address that the name spells out, as it is usually written; None for other names."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return None


def not_available() -> OSError:
    return OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")


def in_use() -> OSError:
    return OSError(errno.EADDRINUSE, "Address already in use")
