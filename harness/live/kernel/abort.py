"""Ending all TCP connections of a namespace at once (sock_diag(7), SOCK_DESTROY), so that none of them keeps it.

A connection whose process is gone lives on in the kernel until its peer has heard of its end, for minutes where the
peer is gone too; so long its namespace lives.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY, SOCK_DESTROY = 20, 21
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
"""From <linux/netlink.h>, <linux/sock_diag.h>, <linux/inet_diag.h>."""

ALL_BUT_TIME_WAIT = 0xFFF & ~(1 << 6)
"""States, as bits; TCP_TIME_WAIT holds no namespace."""

_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI48s")
"""struct inet_diag_req_v2; its last 48 bytes are the socket's identity, which answers carry from their 5th byte on."""


def abort_connections() -> int:
    """End those of the calling thread's namespace, listeners too; how many there were. OSError EOPNOTSUPP where the
    kernel cannot (CONFIG_INET_DIAG_DESTROY)."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as netlink:
        found = list(_identities(netlink))
        for identity in found:
            netlink.send(_message(SOCK_DESTROY, NLM_F_ACK, identity))
            for kind, body in _messages(netlink.recv(65536)):
                code = -struct.unpack_from("=i", body)[0] if kind == NLMSG_ERROR else 0
                if code not in (0, errno.ENOENT):  # it has just ended by itself
                    raise OSError(code, os.strerror(code))
        return len(found)


def _identities(netlink: socket.socket) -> Iterator[bytes]:
    netlink.send(_message(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, bytes(48)))
    while True:
        for kind, body in _messages(netlink.recv(65536)):
            if kind == NLMSG_DONE:
                return
            if kind == NLMSG_ERROR:
                code = -struct.unpack_from("=i", body)[0]
                raise OSError(code, os.strerror(code))
            yield body[4:52]


def _message(kind: int, flags: int, identity: bytes) -> bytes:
    body = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, ALL_BUT_TIME_WAIT, identity)
    return _HEADER.pack(_HEADER.size + len(body), kind, NLM_F_REQUEST | flags, 1, 0) + body


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(data):
        size, kind, *_ = _HEADER.unpack_from(data, at)
        yield kind, data[at + _HEADER.size : at + size]
        at += (size + 3) & ~3
