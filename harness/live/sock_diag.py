"""Sockets of this network namespace, as the kernel lists them (sock_diag(7)), with the bytes that they have carried."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# From <linux/netlink.h>, <linux/sock_diag.h>, <linux/inet_diag.h> and <linux/tcp.h>.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY, _SOCK_DESTROY = 20, 21
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP = 0x1, 0x4, 0x300

ESTABLISHED, TIME_WAIT, CLOSE_WAIT = 1, 6, 8
STATES = frozenset(range(12))

INFO = 2
"""The extension INET_DIAG_INFO: a message ends with the socket's `struct tcp_info`."""

ANSWER_S = 5.0

_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI48s")
"""struct inet_diag_req_v2. Its last 48 bytes are the identity of a socket."""

_ANY = bytes(48)


def sockets(states: Iterable[int], extension: int = 0) -> list[bytes]:
    """A `struct inet_diag_msg` for every IPv4 TCP socket in one of these states. OSError."""
    with _netlink() as netlink:
        netlink.send(_message(_SOCK_DIAG_BY_FAMILY, _NLM_F_DUMP, _ANY, states, extension))
        found: list[bytes] = []
        while True:
            for kind, body in _messages(netlink.recv(1 << 17)):
                if kind == _NLMSG_DONE:
                    return found
                _check(kind, body)
                found.append(body)


def identity(message: bytes) -> bytes:
    """What identifies the socket of a `struct inet_diag_msg`."""
    return message[4:52]


def destroy(identities: Iterable[bytes]) -> None:
    """End these sockets; those that have just ended are skipped.

    OSError EOPNOTSUPP where the kernel has no CONFIG_INET_DIAG_DESTROY.
    """
    with _netlink() as netlink:
        for each in identities:
            netlink.send(_message(_SOCK_DESTROY, _NLM_F_ACK, each, STATES - {TIME_WAIT}))
            for kind, body in _messages(netlink.recv(65536)):
                _check(kind, body, ignored=errno.ENOENT)


@contextmanager
def _netlink() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(ANSWER_S)
        yield netlink


def _message(kind: int, flags: int, identity: bytes, states: Iterable[int], extension: int = 0) -> bytes:
    extensions = 1 << (extension - 1) if extension else 0
    bits = sum(1 << state for state in states)
    body = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, extensions, 0, bits, identity)
    return _HEADER.pack(_HEADER.size + len(body), kind, _NLM_F_REQUEST | flags, 0, 0) + body


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        yield kind, data[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def _check(kind: int, body: bytes, ignored: int = 0) -> None:
    """OSError for an error message, unless it is an acknowledgement or ignored."""
    code = -struct.unpack_from("=i", body)[0] if kind == _NLMSG_ERROR else 0
    if code not in (0, ignored):
        raise OSError(code, os.strerror(code))


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
    states = (ESTABLISHED, CLOSE_WAIT)
    return [_connection(message) for message in sockets(states, INFO)]


def _connection(message: bytes) -> Connection:
    fields = _MESSAGE.unpack_from(message)
    port, address, cookie = fields[4], fields[6], fields[9]
    received = sent = 0
    at = _MESSAGE.size
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        if kind == INFO and length >= _ATTRIBUTE.size + _BYTES_AT + _BYTES.size:
            sent, received = _BYTES.unpack_from(message, at + _ATTRIBUTE.size + _BYTES_AT)
        at += (length + 3) & ~3
    local = (socket.inet_ntoa(address[:4]), int.from_bytes(port))
    return Connection(local, cookie, received, sent)
