"""The loopback addresses of a run, and who listens there. Listeners close with their processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import psutil

from harness.live.resources.base import Item, Resource


class LoopbackAddresses(Resource):
    """127.`run`.0.0 to 127.`run`.255.255."""

    kind: Literal["loopback-addresses"] = "loopback-addresses"
    run: int

    def undo(self) -> Iterator[Item]:
        yield from ()

    def remains(self) -> Iterator[Item]:
        for connection in psutil.net_connections("tcp4"):
            if connection.status != psutil.CONN_LISTEN or not connection.laddr:
                continue
            ip, port = connection.laddr
            if ip.startswith(f"127.{self.run}."):
                address = f"{ip}:{port}"
                yield Item("listener", address, f"a listener at {address}")
