"""A small complete system, for tests of the harness and as an example (docs/own-system.md).

A shop in two zones: shoppers ask a gateway for offers, the gateway asks the backend of its own zone.
Two safeguards: `gateway.retry` asks the other backend too, `gateway.fallback` answers without offers.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from harness.system import (
    Access,
    Client,
    Event,
    Host,
    Invariant,
    Link,
    Node,
    Safeguard,
    System,
    Topology,
    Workload,
)

TIMEOUT_S = 0.5
"""How long the gateway waits for a backend."""


WORK_S = (0.005, 0.015)
"""How long a backend works on an answer: from, to."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a shopper. `source`: backend, fallback, or None when it was not answered."""

    t_s: float
    client: str
    zone: str
    group: str
    ok: bool
    latency_s: float
    source: str | None


async def backend(host: Host) -> None:
    """Answers after 5 to 15 ms of work. Counts its starts on its disk."""
    starts = int(await host.disk.read("starts") or b"0") + 1
    await host.disk.write("starts", str(starts).encode())

    async def offers(_: web.Request) -> web.Response:
        await host.clock.sleep(host.rng.uniform(*WORK_S))
        return web.json_response({"offers": [host.rng.randrange(1000) for _ in range(10)], "starts": starts})

    app = web.Application()
    app.router.add_get("/offers", offers)
    await host.serve(app)


async def gateway(host: Host) -> None:
    backends = [node.name for node in host.topology.role("backend")]
    backends.sort(key=lambda name: host.topology.node(name).zone != host.zone)
    if not host.safeguard("gateway.retry"):
        del backends[1:]

    async def home(_: web.Request) -> web.Response:
        for attempt, name in enumerate(backends):
            if attempt:
                host.emit(Event("gateway.retry", {"to": name}))
            try:
                async with host.http(name).get(
                    "/offers", timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)
                ) as answer:
                    answer.raise_for_status()
                    return web.json_response({**await answer.json(), "source": "backend"})
            except (aiohttp.ClientError, TimeoutError):
                continue
        if not host.safeguard("gateway.fallback"):
            raise web.HTTPServiceUnavailable(text="no backend answers")
        host.emit(Event("gateway.fallback"))
        return web.json_response({"offers": [], "source": "fallback"})

    app = web.Application()
    app.router.add_get("/home", home)
    await host.serve(app)


async def shop(host: Host) -> None:
    """Ten visits, about a second apart; with the mix `brief` two."""
    try:
        for _ in range(2 if host.config.get("brief") else 10):
            await visit(host)
            await host.clock.sleep(host.rng.uniform(0.5, 1.5))
    except asyncio.CancelledError:
        host.emit(Event("shopper.sent_away"))
        raise


async def visit(host: Host) -> None:
    start_s = host.clock.now()
    source = None
    try:
        async with host.http("gateway").get("/home", timeout=aiohttp.ClientTimeout(total=5)) as answer:
            if answer.status == 200:
                source = (await answer.json())["source"]
    except (aiohttp.ClientError, TimeoutError):
        pass
    now_s = host.clock.now()
    host.emit(
        Visit(now_s, host.name, host.zone, host.group or "", source is not None, now_s - start_s, source)
    )


ACCESS = {
    "fast": Access(down_bps=100e6, up_bps=20e6, rtt_s=0.01),
    "slow": Access(down_bps=2e6, up_bps=0.5e6, rtt_s=0.06, jitter_s=0.01, loss=0.001),
}


def shopper(rng: random.Random, mix: str, index: int) -> Client:
    group = rng.choice(("fast", "slow")) if mix == "all" else "fast" if mix == "brief" else mix
    params = {"brief": True} if mix == "brief" else {}
    return Client(f"shopper-{index}", rng.choice(("east", "west")), group, ACCESS[group], params)


system = System(
    name="toy",
    topology=Topology(
        zones=("east", "west"),
        nodes=tuple(
            Node(f"{service.__name__}-{zone}", service.__name__, zone, service)
            for service in (gateway, backend)
            for zone in ("east", "west")
        ),
        links=(Link("east", "west", rtt_s=0.03, bandwidth_bps=1e9),),
    ),
    safeguards=(
        Safeguard("gateway.retry", "a visit succeeds although the backend of its zone is lost"),
        Safeguard("gateway.fallback", "a visit is answered although no backend is there"),
    ),
    tables={"visits": Visit},
    workloads=(
        Workload(
            name="shoppers",
            role="shopper",
            groups=("fast", "slow"),
            zones=("east", "west"),
            mixes={
                "all": "half of them fast, half slow",
                "fast": "all fast",
                "slow": "all slow",
                "brief": "all fast, two visits",
            },
            make=shopper,
            run=shop,
        ),
    ),
    invariants=(Invariant("latency", "visits", "latency_s < 0", "time does not run backwards"),),
    events={
        "gateway.retry": "a gateway asked a second backend",
        "gateway.fallback": "a gateway answered without offers",
        "shopper.sent_away": "a shopper was still there at the end",
    },
)
