"""Steering: which appliances a session should fetch from, best first.

Proximity decides: the appliances inside the viewer's own ISP, then the storage tier at the exchange, then
the origin; an embedded appliance serves its own ISP only. Among equals, the
one that holds the title, then rendezvous hashing, so that a title's requests meet in one cache. Appliances
are polled: two missed polls withdraw one (`steering.health`), two answered ones bring it back. When more
than half of every tier seems dead it is rather this node that is cut off, and the lists stay as they are.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from aiohttp import web

from harness.system import Event, Host

from ..resilience.deadline import Deadline
from ..resilience.dependency import Dependency, Guards, Unavailable
from ..web import errors_as_json, json_response, query

RANK_S = 0.001
"""Processor time of a list. A design value, within the budget of steering (p50 5 ms): ranking nine appliances takes
0.01 ms (measured), a fleet has thousands, and prefixes to look up."""

BUDGET_S = 0.3
"""What a caller waits that does not say so."""

TTL_S = 30
POLL_S = 3.0
POLL_TIMEOUT_S = 1.0
MISSES = 2
ANSWERS = 2
"""Hysteresis: so many in a row to withdraw, and to bring back. Detection within 9 s."""

OVERLOADED = 0.9
"""Load, as the appliance reports it, from which on others go first."""

PANIC = 0.5
"""If a larger share of every tier seems dead, it is rather this node that is cut off. While one tier answers, it is
the others that are dead (Envoy's panic threshold, by level)."""

LEAST_URLS = 3
MOST_URLS = 4
TIERS = {"edge": 0, "storage": 1, "origin": 2}


@dataclass(slots=True)
class Appliance:
    """What steering knows of one appliance. `load` 0..1; `holds` title ids (everything when None), as of
    `version`."""

    name: str
    role: str
    zone: str
    healthy: bool = True
    streak: int = 0
    load: float = 0.0
    holds: frozenset[str] | None = frozenset()
    version: str = ""

    def seen(self, answered: bool) -> bool:
        """Count one poll; whether `healthy` changed."""
        if answered == self.healthy:
            self.streak = 0
            return False
        self.streak += 1
        if self.streak < (ANSWERS if answered else MISSES):
            return False
        self.healthy, self.streak = answered, 0
        return True


def _rendezvous(title: str, node: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{title}|{node}".encode(), digest_size=8).digest(), "big")


def rank(
    appliances: Iterable[Appliance], isp: str, title: str, *, use_health: bool = True
) -> list[Appliance]:
    """Best first: at least LEAST_URLS in at least two failure domains, as long as that many exist.

    Appliances that look dead are left out, unless too few others remain; then they come last.
    """
    known = [a for a in appliances if a.role != "edge" or a.zone == isp]
    known.sort(
        key=lambda a: (
            a.role == "origin",
            use_health and a.load >= OVERLOADED,
            TIERS[a.role],
            a.holds is not None and title not in a.holds,
            -_rendezvous(title, a.name),
        )
    )
    if not use_health:
        return known[:MOST_URLS]
    alive = [a for a in known if a.healthy]
    chosen = [a for a in alive if a.role != "origin"][:MOST_URLS]
    for extra in [*(a for a in alive if a.role == "origin"), *(a for a in known if not a.healthy)]:
        if len(chosen) >= LEAST_URLS and len({a.zone for a in chosen}) >= 2:
            break
        chosen.append(extra)
    return chosen


class Fleet:
    """All appliances, kept up to date by polling."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.use_health = host.safeguard("steering.health")
        self._polls: dict[str, Dependency] = {}
        self.appliances = {
            node.name: Appliance(
                node.name, node.role, node.zone, holds=frozenset() if node.role == "edge" else None
            )
            for node in host.topology.nodes
            if node.role in TIERS
        }

    @property
    def believable(self) -> bool:
        """Whether few enough look dead for it to be their fault and not ours."""
        for tier in TIERS:
            healthy = [a.healthy for a in self.appliances.values() if a.role == tier]
            if healthy and healthy.count(False) <= PANIC * len(healthy):
                return True
        return False

    def urls(self, isp: str, title: str) -> list[str]:
        chosen = rank(self.appliances.values(), isp, title, use_health=self.use_health and self.believable)
        return [f"http://{a.name}" for a in chosen]

    async def start(self) -> None:
        """Look at all appliances once, so that a node that starts anew hands out no dead ones."""
        found = await asyncio.gather(*map(self._poll, self.appliances.values()))
        for appliance, answered in zip(self.appliances.values(), found, strict=True):
            appliance.healthy = answered

    async def watch(self, appliance: Appliance) -> None:
        """Poll one appliance for ever."""
        clock, rng = self._host.clock, self._host.rng
        await clock.sleep(rng.uniform(0.0, POLL_S))
        while True:
            answered = await self._poll(appliance)
            if appliance.seen(answered):
                name = "steering.returned" if answered else "steering.withdrawn"
                self._host.emit(Event(name, {"node": appliance.name}))
            await clock.sleep(POLL_S * rng.uniform(0.9, 1.1))

    async def _poll(self, appliance: Appliance) -> bool:
        """Whether it answered with a report that makes sense."""
        poll = self._polls.get(appliance.name)
        if poll is None:
            guards = Guards(budget_s=POLL_TIMEOUT_S, limit=1, breaker=None, ejection=None)
            poll = self._polls[appliance.name] = Dependency(self._host, appliance.name, guards)
        try:
            answer = await poll.request(
                "/health", Deadline.never(self._host.clock), params={"known": appliance.version}
            )
        except Unavailable:
            return False
        return answer.status == 200 and self._learn(appliance, answer.body)

    def _learn(self, appliance: Appliance, body: bytes) -> bool:
        """Whether it is a report; one that makes no sense counts as none."""
        try:
            report = json.loads(body)
            load, holds = float(report["load"]), report.get("holds")
            version = str(report.get("version", ""))
        except (ValueError, TypeError, KeyError, AttributeError):
            return False
        appliance.load = load
        if isinstance(holds, list):
            appliance.holds, appliance.version = frozenset(map(str, holds)), version
        return True


async def steering(host: Host) -> None:
    """GET /rank?isp=I[&title=T] -> {"urls": [...], "ttl_s": 30}; GET /health."""
    fleet = Fleet(host)

    async def ranked(request: web.Request) -> web.Response:
        await Deadline.from_headers(host.clock, request.headers, BUDGET_S).work(host, RANK_S)
        urls = fleet.urls(query(request, "isp"), request.query.get("title", ""))
        return json_response({"urls": urls, "ttl_s": TTL_S})

    async def health(request: web.Request) -> web.Response:
        return json_response({"ok": True})

    app = web.Application(middlewares=[errors_as_json])
    app.add_routes([web.get("/rank", ranked), web.get("/health", health)])
    async with asyncio.TaskGroup() as tasks:
        if fleet.use_health:
            await fleet.start()
            for appliance in fleet.appliances.values():
                tasks.create_task(fleet.watch(appliance))
        await host.serve(app)
