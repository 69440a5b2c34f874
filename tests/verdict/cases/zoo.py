"""Systems that verdicts are tried on. The experiments beside this file are run against them."""

import asyncio
import random
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from harness.system import (
    Access,
    Client,
    Event,
    Host,
    Link,
    Node,
    Safeguard,
    System,
    Topology,
    Workload,
)

T = aiohttp.ClientTimeout(total=0.3)


@dataclass(frozen=True, slots=True)
class Visit:
    t_s: float
    client: str
    zone: str
    group: str
    ok: bool
    latency_s: float
    source: str | None
    size: int
    good_size: int
    maybe: float | None
    done_s: float | None


async def backend(host: Host) -> None:
    async def offers(_: web.Request) -> web.Response:
        await host.clock.sleep(host.rng.uniform(0.005, 0.015))
        return web.json_response({"offers": [1, 2, 3]})

    app = web.Application()
    app.router.add_get("/offers", offers)
    app.router.add_get("/health", offers)
    await host.serve(app)


async def health(_: web.Request) -> web.Response:
    return web.Response()


async def gateway(host: Host) -> None:
    async def home(_: web.Request) -> web.Response:
        now = host.clock.now()
        if not host.safeguard("boot.works"):
            raise web.HTTPServiceUnavailable()
        if not host.safeguard("late.leak") and now > 40:
            raise web.HTTPServiceUnavailable()
        if not host.safeguard("early.leak") and now < 15:
            raise web.HTTPServiceUnavailable()
        try:
            async with host.http("backend").get("/offers", timeout=T) as a:
                a.raise_for_status()
                return web.json_response({**await a.json(), "source": "backend"})
        except (aiohttp.ClientError, TimeoutError):
            if not host.safeguard("gateway.fallback"):
                raise web.HTTPServiceUnavailable(text="none") from None
            host.emit(Event("gateway.fallback", {"reason": "x", "node": host.name}))
            return web.json_response({"offers": [], "source": "fallback"})

    app = web.Application()
    app.router.add_get("/home", home)
    app.router.add_get("/health", health)
    await host.serve(app)


async def spare(host: Host) -> None:
    async def h(_: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/health", h)
    await host.serve(app)


async def monitor(host: Host) -> None:
    async def loop() -> None:
        while True:
            await host.clock.sleep(1)
            for n in host.config.get("probes", ()):
                try:
                    async with host.http(n).get("/health", timeout=T) as a:
                        await a.read()
                except (aiohttp.ClientError, TimeoutError):
                    pass

    async def noise() -> None:
        rate = host.config.get("noise", 0)
        while rate:
            await host.clock.sleep(host.rng.expovariate(rate))
            host.emit(Event("background", {"node": host.name}))

    async with asyncio.TaskGroup() as g:
        g.create_task(loop())
        g.create_task(noise())
        await spare(host)


ACCESS = {"fast": Access(100e6, 20e6, 0.01), "slow": Access(2e6, 0.5e6, 0.06)}


def shopper(rng: random.Random, mix: str, index: int) -> Client:
    group = rng.choice(("fast", "slow"))
    zone = "east" if "east" in mix else rng.choice(("east", "west"))
    return Client(f"shopper-{index}", zone, group, ACCESS[group], {"mix": mix, "index": index})


async def shop(host: Host) -> None:
    mix = host.config["mix"]
    if mix == "slowsilent" and host.group == "slow":
        await host.clock.sleep(5)
        return
    if mix == "nobody":
        return
    for _ in range(6):
        await visit(host, mix)
        await host.clock.sleep(host.rng.uniform(0.5, 1.5))
    if mix == "stubborn":
        try:
            await asyncio.sleep(10**6)
        except asyncio.CancelledError:
            await asyncio.sleep(10**6)


async def visit(host: Host, mix: str) -> None:
    start, source = host.clock.now(), None
    try:
        async with host.http("gateway").get("/home", timeout=aiohttp.ClientTimeout(total=2)) as a:
            if a.status == 200:
                source = (await a.json())["source"]
    except (aiohttp.ClientError, TimeoutError):
        pass
    now = host.clock.now()
    ok = source is not None
    if not ok and mix == "hang":
        await asyncio.sleep(10**6)  # a viewer whose screen froze for ever: never reports
    if not ok and mix == "leave":
        raise asyncio.CancelledError  # vanishes
    if not ok and mix == "vanish":
        await host.clock.sleep(10**6)
    if not ok and mix == "raise":
        raise ValueError("client bug")
    if mix == "swallow":
        ok, source = True, source or "backend"
    nan = float("nan") if not ok else 1.0
    host.emit(
        Visit(
            now,
            host.name,
            host.zone,
            host.group or "",
            ok,
            now - start,
            source,
            100 if ok else 0,
            100 if ok else 0,
            nan,
            now if ok else None,
        )
    )


MIX = {
    m: m
    for m in (
        "all",
        "east",
        "hang",
        "vanish",
        "raise",
        "swallow",
        "slowsilent",
        "stubborn",
        "nobody",
        "leave",
    )
}
SG = tuple(
    Safeguard(n, n) for n in ("gateway.fallback", "boot.works", "late.leak", "early.leak", "dead.letter")
)


def make(mon: dict[str, Any] | None = None) -> System:
    return System(
        name="zoo",
        topology=Topology(
            zones=("east", "west"),
            nodes=(
                Node("gateway-east", "gateway", "east", gateway),
                Node("gateway-west", "gateway", "west", gateway),
                Node("backend-east", "backend", "east", backend),
                Node("backend-west", "backend", "west", backend),
                Node("spare-1", "spare", "east", spare),
                Node("monitor-1", "monitor", "east", monitor, mon or {}),
            ),
            links=(Link("east", "west", rtt_s=0.03, bandwidth_bps=1e9),),
        ),
        safeguards=SG,
        tables={"visits": Visit},
        workloads=(
            Workload("shoppers", "shopper", ("fast", "slow"), ("east", "west"), MIX, shopper, shop),
            Workload(
                "others",
                "other",
                ("fast", "slow"),
                ("east", "west"),
                MIX,
                lambda r, m, i: Client(f"other-{i}", "east", "fast", ACCESS["fast"], {"mix": m, "index": i}),
                direct,
            ),
        ),
        events={"gateway.fallback": "f", "background": "noise", "never": "never emitted"},
    )


async def direct(host: Host) -> None:
    """Uses the backend directly and reports nothing in visits."""
    for _ in range(6):
        try:
            async with host.http("backend").get("/offers", timeout=T) as a:
                await a.read()
        except (aiohttp.ClientError, TimeoutError):
            pass
        await host.clock.sleep(1)


system = make()
probed = make(mon={"probes": ("spare-1", "backend-west", "backend-east")})
noisy = make(mon={"noise": 0.1})
noisy2 = make(mon={"noise": 0.35})
