"""`VanillaToxiproxyApi`: what live runs need, of a Toxiproxy server that has nothing but Toxiproxy's own API.

It does not tell what passed while it passes, so the kernel is asked, which counts what every connection has carried.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from harness.faults.primitives import FaultFailed
from harness.live.connections import Carried, open_connections
from harness.live.kernel.namespaces import MakeSocket
from harness.live.toxiproxy import ToxiproxyApi, Traffic

LOOK_S = 0.25
"""Between two looks at the kernel's counts: what was opened and closed in between is not seen."""

_RECEIVED = re.compile(
    r'^toxiproxy_proxy_received_bytes_total\{(?=[^}]*direction="(\w+)")(?=[^}]*proxy="([^"]*)")[^}]*\} (\S+)$',
    re.MULTILINE,
)


class VanillaToxiproxyApi(ToxiproxyApi):
    """The same methods as `ToxiproxyApi`; `reset_connections` closes instead of resetting."""

    extended = False

    def __init__(self, url: str, sockets: MakeSocket = socket.socket) -> None:
        super().__init__(url, sockets)
        self._listens: dict[str, tuple[str, int]] = {}
        self._seen: dict[tuple[str, int], dict[bytes, Carried]] = defaultdict(dict)
        """Connections of our proxies, those that have ended too, by where the proxy listens."""
        self._open: dict[tuple[str, int], int] = {}
        self._looking: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await super().close()

    async def populate(self, proxies: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Create many proxies; without their toxics, which are added one by one."""
        asked = [{key: proxy[key] for key in ("name", "listen", "upstream", "enabled")} for proxy in proxies]
        made = await super().populate(asked)
        for proxy in made:
            host, _, port = str(proxy["listen"]).rpartition(":")
            self._listens[proxy["name"]] = (host, int(port))
        if self._looking is None:
            self._looking = asyncio.ensure_future(self._look_on())
        return made

    async def enable(self, proxy: str, enabled: bool, *, drain: bool = False) -> None:
        # What is open is always closed there, whatever is asked. PATCH is newer than some servers.
        await self._json("POST", f"/proxies/{proxy}", {"enabled": enabled})

    async def accept(self, proxy: str, accepting: bool) -> None:
        raise FaultFailed(f"{self.url} cannot leave connects to {proxy} without an answer")

    async def delete(self, proxy: str) -> None:
        await super().delete(proxy)
        self._listens.pop(proxy, None)

    async def reset_connections(self, proxy: str) -> int:
        """Close every open connection: disabling does it, at once. How many there were, as the kernel sees it."""
        document = await self._json("GET", f"/proxies/{proxy}", None)
        if not document["enabled"]:
            return 0
        self._look()
        count = self._open.get(self._listens[proxy], 0)
        await self.enable(proxy, False)
        await self.enable(proxy, True)
        return count

    async def traffic(self) -> dict[str, Traffic]:
        """By proxy of ours; FaultFailed when the server does not know one of them any more."""
        there = await self._json("GET", "/proxies", None)
        if lost := sorted(set(self._listens) - set(there)):
            raise FaultFailed(
                f"the server at {self.url} has lost {len(lost)} of our proxies ({lost[0]}, ...): was it restarted?"
            )
        counted = await self._metrics()
        self._look()
        return {name: self._traffic(name, counted) for name in self._listens}

    async def traffic_of(self, proxy: str) -> Traffic:
        counted = await self._metrics()
        self._look()
        return self._traffic(proxy, counted)

    def _traffic(self, name: str, counted: Mapping[tuple[str, str], int]) -> Traffic:
        listen = self._listens[name]
        seen = self._seen[listen].values()
        # Servers may count late (when a connection has ended), the kernel forgets what has ended: the larger is true.
        return Traffic(
            max(counted.get((name, "upstream"), 0), sum(one.received_bytes for one in seen)),
            max(counted.get((name, "downstream"), 0), sum(one.sent_bytes for one in seen)),
            len(seen),
            self._open.get(listen, 0),
        )

    async def _metrics(self) -> dict[tuple[str, str], int]:
        """Bytes by proxy and stream, as `/metrics` has them; empty where it is not shown."""
        try:
            text = await self._call("GET", "/metrics")
        except FaultFailed:
            return {}
        found: dict[tuple[str, str], int] = defaultdict(int)
        for stream, proxy, value in _RECEIVED.findall(text):
            found[proxy, stream] += int(float(value))
        return found

    async def _look_on(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(LOOK_S)

    def _look(self) -> None:
        ours = set(self._listens.values())
        self._open = dict.fromkeys(ours, 0)
        with contextlib.suppress(OSError):  # not told here: then only what the server counts is known
            for one in open_connections():
                if one.local in ours:
                    self._seen[one.local][one.cookie] = one
                    self._open[one.local] += 1
