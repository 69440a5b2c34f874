"""One server, and clients that ask once, twelve times one after the other, or twelve times at intended times."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from harness import Access, Client, Host, Node, System, Topology, Workload, constant_pacing

INTERVAL_S = 0.2


@dataclass(frozen=True, slots=True)
class Visit:
    t_s: float
    ok: bool
    latency_s: float


async def serve(host: Host) -> None:
    async def home(_: web.Request) -> web.Response:
        await asyncio.sleep(0.005)
        return web.Response()

    app = web.Application()
    app.router.add_get("/home", home)
    await host.serve(app)


async def closed_loop(host: Host, count: int) -> AsyncIterator[float]:
    for _ in range(count):
        yield host.clock.now()
        await host.clock.sleep(INTERVAL_S)


def asks(starts: Callable[[Host], AsyncIterator[float]]) -> Callable[[Host], Awaitable[None]]:
    async def run(host: Host) -> None:
        async for start_s in starts(host):
            async with host.http("server").get("/home", timeout=aiohttp.ClientTimeout(total=10)) as answer:
                ok = answer.status == 200
            host.emit(Visit(host.clock.now(), ok, host.clock.now() - start_s))

    return run


def make(rng: random.Random, mix: str, index: int) -> Client:
    return Client(f"c-{index}", "z", "g", Access(100e6, 20e6, 0.01))


def build(name: str, starts: Callable[[Host], AsyncIterator[float]]) -> System:
    return System(
        name=name,
        topology=Topology(zones=("z",), nodes=(Node("server-1", "server", "z", serve),), links=()),
        safeguards=(),
        tables={"visits": Visit},
        workloads=(Workload("c", "c", ("g",), ("z",), {"all": "all"}, make, asks(starts)),),
    )


single = build("single", lambda host: closed_loop(host, 1))
closed = build("closed", lambda host: closed_loop(host, 12))
paced = build("paced", lambda host: constant_pacing(host.clock, INTERVAL_S, 12))
