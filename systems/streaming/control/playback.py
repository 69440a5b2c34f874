"""Playback: everything a player needs to start: segments, renditions, and where to fetch them.

It needs the catalogue and steering, and survives both: titles come from the last good snapshot
(`playback.catalog_cache`), appliance lists from the last good answers (`playback.steering_cache`).
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from harness.system import Event, Host

from ..content.catalogue import LADDER, SEGMENT_S
from ..resilience.breaker import LAST_RESORT
from ..resilience.deadline import Deadline
from ..resilience.dependency import Answer, Dependency, Guards, Unavailable
from ..resilience.fallback import LastKnownGood
from ..web import HttpError, errors_as_json, json_response, query
from .snapshot import InvalidSnapshot, SnapshotFeed, TitleInfo, parse_title

BUDGET_S = 0.8
"""Budget of one manifest, dependencies included."""

MANIFEST_S = 0.012
"""Processor time of building a manifest: rights, device capability, signing. A design value, within the budget of a
manifest (p50 20 ms with its dependencies)."""

STEERING_BUDGET_S = 0.1
LIST_MAX_AGE_S = 30 * 60.0
"""How old a list of appliances may be and still be handed out (ST-01)."""

WARM_S = 10.0


def _urls(answer: Answer) -> list[str]:
    """The list of an answer of steering. Raises Unavailable when there is none."""
    urls = answer.object().get("urls")
    if not (isinstance(urls, list) and urls and all(isinstance(url, str) for url in urls)):
        raise Unavailable(answer.dependency, f"no list of URLs: {str(urls)[:40]}")
    return urls


def _check_urls(answer: Answer) -> None:
    if answer.status == 200:
        _urls(answer)


class Manifests:
    """Builds manifests. Raises HttpError with what a player understands."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.catalog_cache = host.safeguard("playback.catalog_cache")
        self.steering_cache = host.safeguard("playback.steering_cache")
        self.feed = SnapshotFeed(host)
        self._catalog = Dependency(host, "catalog", Guards(budget_s=0.3, breaker=LAST_RESORT))
        self._steering = Dependency(host, "steering", Guards(budget_s=STEERING_BUDGET_S, check=_check_urls))
        self._lists: LastKnownGood[list[str]] = LastKnownGood(
            host.clock, limit=4096, max_age_s=LIST_MAX_AGE_S
        )
        self.isps = sorted({node.zone for node in host.topology.role("edge")})

    async def title(self, title: str, deadline: Deadline) -> TitleInfo:
        if self.catalog_cache:
            if self.feed.current is None:
                raise HttpError(503, "there is no catalogue yet", retry_after_s=1)
            found = self.feed.current.titles.get(title)
            if found is None:
                raise HttpError(404, f"no title '{title}'")
            return found
        try:
            answer = await self._catalog.request(f"/titles/{title}", deadline)
            if answer.status != 404:
                return parse_title(answer.object())
        except (Unavailable, InvalidSnapshot) as error:
            raise HttpError(503, str(error), retry_after_s=1) from error
        raise HttpError(404, f"no title '{title}'")

    async def urls(self, isp: str, title: str, deadline: Deadline) -> list[str]:
        try:
            urls = await self._ask_steering(isp, title, deadline)
        except Unavailable as error:
            kept = self._lists.freshest(f"{isp}|{title}", isp) if self.steering_cache else None
            if kept is None:
                raise HttpError(503, str(error), retry_after_s=1) from error
            self._host.emit(Event("playback.fallback", {"dependency": "steering", "reason": error.reason}))
            return kept
        return urls

    async def _ask_steering(self, isp: str, title: str, deadline: Deadline) -> list[str]:
        params = {"isp": isp, "title": title} if title else {"isp": isp}
        urls = _urls(await self._steering.request("/rank", deadline, params=params))
        self._lists.keep(f"{isp}|{title}" if title else isp, urls)
        return list(urls)

    async def warm(self) -> None:
        """Keep one fresh list an ISP, so that there is something to fall back to for every viewer."""
        while True:
            for isp in self.isps:
                try:
                    await self._ask_steering(isp, "", Deadline.never(self._host.clock))
                except Unavailable:
                    continue
            have_all = all(self._lists.get(isp) for isp in self.isps)
            await self._host.clock.sleep((WARM_S if have_all else 0.5) * self._host.rng.uniform(0.8, 1.2))


async def playback(host: Host) -> None:
    """GET /manifest?title=T&isp=I; GET /health."""
    manifests = Manifests(host)

    async def manifest(request: web.Request) -> web.Response:
        deadline = Deadline.from_headers(host.clock, request.headers, BUDGET_S)
        name, isp = query(request, "title"), query(request, "isp")
        title = await manifests.title(name, deadline)
        urls = await manifests.urls(isp, name, deadline)
        await deadline.work(host, MANIFEST_S)
        return json_response(
            {
                "title": title.id,
                "segment_s": SEGMENT_S,
                "segments": title.segments,
                "bitrates_kbps": list(LADDER),
                "urls": urls,
                "ttl_s": 30,
            }
        )

    async def health(request: web.Request) -> web.Response:
        return json_response({"ok": True})

    app = web.Application(middlewares=[errors_as_json])
    app.add_routes([web.get("/manifest", manifest), web.get("/health", health)])
    async with asyncio.TaskGroup() as tasks:
        if manifests.catalog_cache:
            await manifests.feed.start()
            tasks.create_task(manifests.feed.run())
        if manifests.steering_cache:
            tasks.create_task(manifests.warm())
        await host.serve(app)
