"""The kernel's list of TCP connections with what each has carried (sock_diag(7)), for servers that do not count."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

# From <linux/netlink.h>, <linux/sock_diag.h>, <linux/inet_diag.h>, <linux/tcp.h>.
_NETLINK_SOCK_DIAG = 4
_BY_FAMILY = 20
_REQUEST_DUMP = 0x301
_ERROR, _DONE = 2, 3
_INFO = 2
_ESTABLISHED, _CLOSE_WAIT = 1, 8

_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI48s")
_MESSAGE = struct.Struct("=BBBB2s2s16s16sI8sIIIII")
_ATTRIBUTE = struct.Struct("=HH")
_CARRIED = struct.Struct("=QQ")
_CARRIED_AT = 120
"""struct tcp_info: tcpi_bytes_acked, tcpi_bytes_received."""


@dataclass(frozen=True, slots=True)
class Carried:
    """An open connection seen from its end at `local` (host, port): bytes that came in and that went out there.

    `cookie` is the kernel's own name of it. At the end that connected, `sent_bytes` counts the SYN as one.
    """

    local: tuple[str, int]
    cookie: bytes
    received_bytes: int
    sent_bytes: int


def open_connections() -> list[Carried]:
    """Every open IPv4 TCP connection of this network, once for each of its ends. OSError where it is not told."""
    request = _REQUEST.pack(
        socket.AF_INET,
        socket.IPPROTO_TCP,
        1 << (_INFO - 1),
        0,
        1 << _ESTABLISHED | 1 << _CLOSE_WAIT,
        bytes(48),
    )
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as sock:
        sock.settimeout(5)
        sock.send(_HEADER.pack(_HEADER.size + len(request), _BY_FAMILY, _REQUEST_DUMP, 0, 0) + request)
        found: list[Carried] = []
        while True:
            data = sock.recv(1 << 17)
            for kind, body in _messages(data):
                if kind == _DONE:
                    return found
                if kind == _ERROR:
                    raise OSError(-struct.unpack_from("=i", body)[0], "sock_diag")
                found.append(_carried(body))


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        yield kind, data[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def _carried(body: bytes) -> Carried:
    fields = _MESSAGE.unpack_from(body)
    port, address, cookie = fields[4], fields[6], fields[9]
    received = sent = 0
    at = _MESSAGE.size
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if kind == _INFO and length >= _ATTRIBUTE.size + _CARRIED_AT + _CARRIED.size:
            sent, received = _CARRIED.unpack_from(body, at + _ATTRIBUTE.size + _CARRIED_AT)
        at += (length + 3) & ~3
    local = (socket.inet_ntoa(address[:4]), int.from_bytes(port))
    return Carried(local, cookie, received, sent)
