"""Network namespaces without names: the kernel removes one with its last holder (namespaces(7))."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

VARIABLE = "HARNESS_LIVE_NETNS"
"""Environment variable: the namespace that a process of a live run enters before it does anything (a path)."""

type MakeSocket = Callable[[int, int, int], socket.socket]
"""family, type, protocol."""


def own() -> int:
    """A descriptor of the calling thread's namespace; it keeps the namespace alive."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def enter(namespace: int | str) -> None:
    """Move the calling thread there for good. Needs CAP_SYS_ADMIN."""
    if isinstance(namespace, int):
        os.setns(namespace, os.CLONE_NEWNET)
        return
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.setns(descriptor, os.CLONE_NEWNET)
    finally:
        os.close(descriptor)


@contextmanager
def inside(namespace: int) -> Iterator[None]:
    """Move the calling thread there for the time of the block, which must not await: other tasks would be moved too."""
    back = own()
    try:
        os.setns(namespace, os.CLONE_NEWNET)
        try:
            yield
        finally:
            os.setns(back, os.CLONE_NEWNET)
    finally:
        os.close(back)


def new() -> int:
    """A new namespace, empty but for its loopback; the calling thread stays where it is."""
    back = own()
    try:
        os.unshare(os.CLONE_NEWNET)
        try:
            return own()
        finally:
            os.setns(back, os.CLONE_NEWNET)
    finally:
        os.close(back)


def sockets_in(namespace: int) -> MakeSocket:
    """Sockets belong to the namespace in which they were made, wherever they are used."""

    def make(family: int, kind: int, protocol: int) -> socket.socket:
        with inside(namespace):
            return socket.socket(family, kind, protocol)

    return make


def inode(namespace: int) -> int:
    """The identity of a namespace as long as it lives."""
    return os.fstat(namespace).st_ino


def held(inodes: frozenset[int]) -> set[int]:
    """Those of these namespaces that a thread of this process is in, or that it has a descriptor of."""
    if not inodes:
        return set()
    process = Path("/proc/self")
    links = [*process.glob("task/*/ns/net"), *process.glob("fd/*")]
    targets = set()
    for link in links:
        with suppress(FileNotFoundError):  # the descriptor of the look itself, or a thread that has ended
            targets.add(os.readlink(link))
    return {inode for inode in inodes if f"net:[{inode}]" in targets}
