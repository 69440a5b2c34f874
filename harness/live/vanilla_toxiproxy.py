"""`VanillaToxiproxyApi`: a Toxiproxy server that has Toxiproxy's own API only.

It may count a connection late, when it has ended. So the bytes that the kernel counts for every connection are read.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from harness.faults.primitives import FaultFailed
from harness.live.kernel.namespaces import MakeSocket
from harness.live.sock_diag import Connection, open_connections
from harness.live.tasks import background
from harness.live.toxiproxy import ToxiproxyApi, Traffic

SAMPLE_S = 0.25
"""Between two samples of the kernel's counts. Connections that are opened and closed in between are not counted."""

_RECEIVED = re.compile(
    r'^toxiproxy_proxy_received_bytes_total\{(?=[^}]*direction="(\w+)")(?=[^}]*proxy="([^"]*)")[^}]*\} (\S+)$',
    re.MULTILINE,
)


@asynccontextmanager
async def vanilla_toxiproxy(url: str) -> AsyncIterator[VanillaToxiproxyApi]:
    """The API of a server, with the counts of its proxies for the time of the block."""
    async with VanillaToxiproxyApi(url) as api, background(api.keep_sampling()):
        yield api


class VanillaToxiproxyApi(ToxiproxyApi):
    """The same methods as `ToxiproxyApi`. `reset_connections` closes connections instead of resetting them.

    Traffic is counted while `keep_sampling` runs.
    """

    extended = False

    def __init__(self, url: str, sockets: MakeSocket = socket.socket) -> None:
        super().__init__(url, sockets)
        self._listens: dict[str, tuple[str, int]] = {}
        self._seen: dict[tuple[str, int], dict[bytes, Connection]] = defaultdict(dict)
        """Connections of our proxies by the address of the proxy, including those that have ended."""
        self._open: dict[tuple[str, int], int] = {}

    async def populate(self, proxies: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Create many proxies, without their toxics: the server does not take them here."""
        bare = [{key: proxy[key] for key in ("name", "listen", "upstream", "enabled")} for proxy in proxies]
        made = await super().populate(bare)
        for proxy in made:
            host, _, port = str(proxy["listen"]).rpartition(":")
            self._listens[proxy["name"]] = (host, int(port))
        return made

    async def enable(self, proxy: str, enabled: bool, *, drain: bool = False) -> None:
        # Open connections are always closed. Some servers are older than PATCH.
        await self._json("POST", f"/proxies/{proxy}", {"enabled": enabled})

    async def accept(self, proxy: str, accepting: bool) -> None:
        raise FaultFailed(f"{self.url} cannot leave connects to {proxy} without an answer")

    async def delete(self, proxy: str) -> None:
        await super().delete(proxy)
        self._listens.pop(proxy, None)

    async def reset_connections(self, proxy: str) -> int:
        """Close every open connection, by disabling the proxy. Returns how many there were, as the kernel counts."""
        document = await self._json("GET", f"/proxies/{proxy}", None)
        if not document["enabled"]:
            return 0
        self._sample()
        count = self._open.get(self._listens[proxy], 0)
        await self.enable(proxy, False)
        await self.enable(proxy, True)
        return count

    async def traffic(self) -> dict[str, Traffic]:
        """By name of each proxy of this run. FaultFailed when the server has lost one of them."""
        there = await self._json("GET", "/proxies", None)
        if lost := sorted(set(self._listens) - set(there)):
            raise FaultFailed(
                f"the server at {self.url} has lost {len(lost)} proxies of this run ({lost[0]}, ...)"
            )
        counted = await self._metrics()
        self._sample()
        return {name: self._traffic(name, counted) for name in self._listens}

    async def traffic_of(self, proxy: str) -> Traffic:
        counted = await self._metrics()
        self._sample()
        return self._traffic(proxy, counted)

    def _traffic(self, name: str, counted: Mapping[tuple[str, str], int]) -> Traffic:
        listen = self._listens[name]
        seen = self._seen[listen].values()
        # Servers may count a connection late, when it has ended; the kernel forgets it then. The larger count is right.
        return Traffic(
            max(counted.get((name, "upstream"), 0), sum(one.received_bytes for one in seen)),
            max(counted.get((name, "downstream"), 0), sum(one.sent_bytes for one in seen)),
            len(seen),
            self._open.get(listen, 0),
        )

    async def _metrics(self) -> dict[tuple[str, str], int]:
        """Bytes by proxy and stream, of `/metrics`; empty where the server does not show it."""
        try:
            text = await self._call("GET", "/metrics")
        except FaultFailed:
            return {}
        found: dict[tuple[str, str], int] = defaultdict(int)
        for stream, proxy, value in _RECEIVED.findall(text):
            found[proxy, stream] += int(float(value))
        return found

    async def keep_sampling(self) -> None:
        """Sample the kernel's counts, until cancelled."""
        while True:
            self._sample()
            await asyncio.sleep(SAMPLE_S)

    def _sample(self) -> None:
        ours = set(self._listens.values())
        self._open = dict.fromkeys(ours, 0)
        if not ours:
            return
        with contextlib.suppress(OSError):  # the kernel does not say: then the server's counts are all
            for one in open_connections():
                if one.local in ours:
                    self._seen[one.local][one.cookie] = one
                    self._open[one.local] += 1
