import random
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from harness import (
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

BACKEND_TIMEOUT = aiohttp.ClientTimeout(total=0.3)


async def backend(host: Host) -> None:
    async def offers(_: web.Request) -> web.Response:
        await host.clock.sleep(host.rng.uniform(0.005, 0.015))
        return web.json_response({"offers": [host.rng.randrange(1000) for _ in range(10)]})

    app = web.Application()
    app.router.add_get("/offers", offers)
    await host.serve(app)


async def gateway(host: Host) -> None:
    async def home(_: web.Request) -> web.Response:
        try:
            async with host.http("backend").get("/offers", timeout=BACKEND_TIMEOUT) as answer:
                answer.raise_for_status()
                return web.json_response({**await answer.json(), "source": "backend"})
        except (aiohttp.ClientError, TimeoutError):
            if not host.safeguard("gateway.fallback"):
                raise web.HTTPServiceUnavailable(text="no backend answers") from None
            host.emit(Event("gateway.fallback", {"reason": "no backend answers"}))
            return web.json_response({"offers": [], "source": "fallback"})

    app = web.Application()
    app.router.add_get("/home", home)
    await host.serve(app)


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a shopper. `source`: backend, fallback, or None when it was not answered."""

    t_s: float
    zone: str
    group: str
    ok: bool
    latency_s: float
    source: str | None


ACCESS = {
    "fast": Access(down_bps=100e6, up_bps=20e6, rtt_s=0.01),
    "slow": Access(down_bps=2e6, up_bps=0.5e6, rtt_s=0.06, jitter_s=0.01, loss=0.001),
}


def shopper(rng: random.Random, mix: str, index: int) -> Client:
    group = rng.choice(("fast", "slow")) if mix == "all" else mix
    return Client(f"shopper-{index}", rng.choice(("east", "west")), group, ACCESS[group])


async def shop(host: Host) -> None:
    for _ in range(6):
        await visit(host)
        await host.clock.sleep(host.rng.uniform(0.5, 1.5))


async def visit(host: Host) -> None:
    start_s, source = host.clock.now(), None
    try:
        async with host.http("gateway").get("/home", timeout=aiohttp.ClientTimeout(total=2)) as answer:
            if answer.status == 200:
                source = (await answer.json())["source"]
    except (aiohttp.ClientError, TimeoutError):
        pass
    now_s = host.clock.now()
    host.emit(Visit(now_s, host.zone, host.group or "", source is not None, now_s - start_s, source))


system = System(
    name="shop",
    topology=Topology(
        zones=("east", "west"),
        nodes=(
            Node("gateway-east", "gateway", "east", gateway),
            Node("gateway-west", "gateway", "west", gateway),
            Node("backend-east", "backend", "east", backend),
            Node("backend-west", "backend", "west", backend),
        ),
        links=(Link("east", "west", rtt_s=0.03, bandwidth_bps=1e9),),
    ),
    safeguards=(Safeguard("gateway.fallback", "a visit is answered although no backend is there"),),
    tables={"visits": Visit},
    workloads=(
        Workload(
            name="shoppers",
            role="shopper",
            groups=("fast", "slow"),
            zones=("east", "west"),
            mixes={"all": "half of them fast, half slow", "fast": "all fast", "slow": "all slow"},
            make=shopper,
            run=shop,
        ),
    ),
    invariants=(
        Invariant("time-runs-forward", "visits", "latency_s < 0", "a visit ends after it begins"),
        Invariant("no-answer-from-nowhere", "visits", "ok and source is null", "every answer has a source"),
    ),
    events={"gateway.fallback": "a gateway answered without offers (reason)"},
)
