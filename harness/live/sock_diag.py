"""Asks the kernel about the TCP sockets of the calling thread's network namespace, and destroys them (sock_diag(7))."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

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
