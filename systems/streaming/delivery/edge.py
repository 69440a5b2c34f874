"""An edge appliance inside an ISP: serves what it holds, fetches the rest once from the storage tier.

A miss must not cost a viewer more than a hit elsewhere would: it gets a deadline and a breaker
(`edge.miss_deadline`), then 503, and the player takes the next appliance of its list. Requests for a
segment that is being fetched wait for that fetch (`edge.coalescing`).
"""

from __future__ import annotations

import asyncio
import hashlib
import json

from aiohttp import web

from harness.system import Event, Host

from ..content.catalogue import TITLES
from ..resilience.breaker import BreakerPolicy
from ..resilience.deadline import Deadline
from ..resilience.dependency import Dependency, Guards, Unavailable, accept_any
from ..web import HttpError, errors_as_json, json_response
from .cache import SegmentCache
from .segments import ROUTE, Key, Sender, segment_key, size_of

MISS_BUDGET_S = 0.25
"""A fill takes about 20 ms over the exchange; two appliances that cannot fill must not cost a start its 2 s."""

MISS_BREAKER = BreakerPolicy(volume=3, error_ratio=0.5, window_s=20.0, open_s=5.0)
"""Few misses are made, so a handful of failures must do."""

MISSES_IN_FLIGHT = 100
CONNECTIONS = 1000


class Filler:
    """Fetches missing segments from the storage tier."""

    def __init__(self, host: Host, cache: SegmentCache, tasks: asyncio.TaskGroup) -> None:
        self._host = host
        self._cache = cache
        self._tasks = tasks
        self._coalescing = host.safeguard("edge.coalescing")
        guards = Guards(
            budget_s=MISS_BUDGET_S, limit=MISSES_IN_FLIGHT, breaker=MISS_BREAKER, check=accept_any
        )
        bounded = host.safeguard("edge.miss_deadline")
        self._storage = Dependency(host, "storage", guards.without(deadline=not bounded, breaker=not bounded))
        self._running: dict[Key, asyncio.Task[bool]] = {}

    async def fill(self, key: Key, n_bytes: int) -> bool:
        """Whether the segment is here now."""
        if not self._coalescing:
            return await self._fetch(key, n_bytes)
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = self._tasks.create_task(self._fetch(key, n_bytes))
            task.add_done_callback(lambda _: self._running.pop(key, None))
        # Shielded: the fetch outlives the one viewer who asked first.
        return await asyncio.shield(task)

    async def _fetch(self, key: Key, n_bytes: int) -> bool:
        title, rendition, segment = key
        try:
            answer = await self._storage.request(
                f"/v/{title}/{rendition}/{segment}", Deadline.never(self._host.clock)
            )
        except Unavailable as error:
            self._host.emit(Event("edge.miss", {"title": title, "filled": False, "reason": error.reason}))
            return False
        filled = answer.status == 200 and len(answer.body) == n_bytes
        self._host.emit(Event("edge.miss", {"title": title, "filled": filled, "reason": None}))
        if filled:
            self._cache.keep(key, n_bytes)
        return filled


async def edge(host: Host) -> None:
    """GET /v/{title}/{rendition}/{segment}.

    GET /health[?known=VERSION] -> {"ok", "load", "version"}, with "holds" unless that version is known.
    config: `filled_titles` (how many of the most popular are here), `cache_bytes`.
    """
    filled = frozenset(title.id for title in TITLES[: int(host.config["filled_titles"])])
    cache = SegmentCache(filled, int(host.config["cache_bytes"]))
    sender = Sender("edge", CONNECTIONS if host.safeguard("edge.limit") else None)

    async with asyncio.TaskGroup() as tasks:
        filler = Filler(host, cache, tasks)

        async def segment(request: web.Request) -> web.StreamResponse:
            key = segment_key(request)
            n_bytes = size_of(key)
            if cache.has(key):
                return await sender.send(request, n_bytes, "hit")
            if await filler.fill(key, n_bytes):
                return await sender.send(request, n_bytes, "miss")
            raise HttpError(
                503, "not here, and the storage tier does not answer", retry_after_s=1, cache="miss"
            )

        holdings = sorted(filled)
        version = hashlib.sha256(json.dumps(holdings).encode()).hexdigest()[:12]

        async def health(request: web.Request) -> web.Response:
            report = {"ok": True, "load": sender.load, "version": version}
            if request.query.get("known") != version:
                report["holds"] = holdings
            return json_response(report)

        app = web.Application(middlewares=[errors_as_json])
        app.add_routes([web.get(ROUTE, segment), web.get("/health", health)])
        await host.serve(app)
