"""The bytes that every open TCP connection has carried, as the kernel counts them."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from harness.live import sock_diag

_MESSAGE = struct.Struct("=BBBB2s2s16s16sI8sIIIII")
"""struct inet_diag_msg."""

_ATTRIBUTE = struct.Struct("=HH")
_BYTES = struct.Struct("=QQ")
_BYTES_AT = 120
"""Of tcpi_bytes_acked and tcpi_bytes_received in struct tcp_info."""


@dataclass(frozen=True, slots=True)
class Connection:
    """One end of an open connection, at `local` (host, port): the bytes that it received and sent.

    `cookie` is the kernel's identity of it. The end that connected counts the SYN as one byte sent.
    """

    local: tuple[str, int]
    cookie: bytes
    received_bytes: int
    sent_bytes: int


def open_connections() -> list[Connection]:
    """Both ends of every open IPv4 TCP connection of this network namespace. OSError where the kernel does not say."""
    states = (sock_diag.ESTABLISHED, sock_diag.CLOSE_WAIT)
    return [_connection(message) for message in sock_diag.sockets(states, sock_diag.INFO)]


def _connection(message: bytes) -> Connection:
    fields = _MESSAGE.unpack_from(message)
    port, address, cookie = fields[4], fields[6], fields[9]
    received = sent = 0
    at = _MESSAGE.size
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        if kind == sock_diag.INFO and length >= _ATTRIBUTE.size + _BYTES_AT + _BYTES.size:
            sent, received = _BYTES.unpack_from(message, at + _ATTRIBUTE.size + _BYTES_AT)
        at += (length + 3) & ~3
    local = (socket.inet_ntoa(address[:4]), int.from_bytes(port))
    return Connection(local, cookie, received, sent)
