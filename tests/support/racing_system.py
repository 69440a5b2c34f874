"""A service with two defects that only an order of ready tasks shows: one turn apart, and 25 turns apart."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from harness.system import Access, Client, Host, Invariant, Node, System, Topology, Workload


@dataclass(frozen=True, slots=True)
class Race:
    """`early`: the second task was done before the first one began. `turns`: how far apart they are."""

    t_s: float
    turns: int
    early: bool


async def service(host: Host) -> None:
    async def race(turns: int) -> None:
        began = False

        async def first() -> None:
            nonlocal began
            began = True

        async def second() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            host.emit(Race(host.clock.now(), turns, not began))

        await asyncio.gather(first(), second())

    async def both(_: web.Request) -> web.Response:
        await asyncio.gather(*(race(turns) for turns in host.config["turns"]))
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/", both)
    await host.serve(app)


def make(rng: random.Random, mix: str, index: int) -> Client:
    return Client(f"client-{index}", "zone", "all", Access(down_bps=1e8, up_bps=1e8, rtt_s=0.01))


async def ask(host: Host) -> None:
    for _ in range(5):
        try:
            async with host.http("node").get("/", timeout=aiohttp.ClientTimeout(total=2)):
                pass
        except (aiohttp.ClientError, TimeoutError):
            pass


def racing(*turns: int) -> System:
    return System(
        name="racing",
        topology=Topology(("zone",), (Node("node-1", "node", "zone", service, {"turns": turns}),), ()),
        safeguards=(),
        tables={"races": Race},
        workloads=(Workload("clients", "client", ("all",), ("zone",), {"all": "all alike"}, make, ask),),
        invariants=(Invariant("in-order", "races", "early", "the second task comes after the first one"),),
    )


one_turn = racing(0)
starved = racing(25)
