"""Network namespaces of a run. They have no names: the kernel takes them down with the last process in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from harness.live.kernel.namespaces import held
from harness.live.resources.base import Item, Resource


class NetworkNamespaces(Resource):
    """`inodes`: by name; they identify a namespace as long as it lives."""

    kind: Literal["network-namespaces"] = "network-namespaces"
    inodes: Mapping[str, int]

    def undo(self) -> Iterator[Item]:
        yield from ()

    def remains(self) -> Iterator[Item]:
        """Those that this process is in or holds open. Every other process that could is a process of the run."""
        for inode in sorted(held(frozenset(self.inodes.values()))):
            yield Item("network-namespace", str(inode), f"the network namespace {inode}")
