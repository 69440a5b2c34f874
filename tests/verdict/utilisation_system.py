"""Clients of a node whose only core a request takes for 200 ms, and of one that it hardly takes."""

from __future__ import annotations

import random
from dataclasses import dataclass

from aiohttp import web

from harness.system import Access, Client, Host, Node, System, Topology, Workload


@dataclass(frozen=True, slots=True)
class Asked:
    t_s: float
    ok: bool
    latency_s: float


async def serve(host: Host) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/", answer)
    await host.serve(app)


async def ask(host: Host) -> None:
    for role in ("idle", "api"):
        started_s = host.clock.now()
        async with host.http(role).get("/") as response:
            ok = response.status == 200
        now_s = host.clock.now()
        host.emit(Asked(now_s, ok, now_s - started_s))


def make(rng: random.Random, mix: str, index: int) -> Client:
    return Client(f"asker-{index}", "here", "all", Access(100e6, 20e6, 0.01))


system = System(
    name="utilisation",
    topology=Topology(
        ("here",),
        (
            Node("api-1", "api", "here", serve, costs={"GET /": "200ms"}),
            Node("idle-1", "idle", "here", serve, costs={"GET /": "1ms"}),
        ),
        (),
    ),
    safeguards=(),
    tables={"asked": Asked},
    workloads=(
        Workload(
            "askers", "asker", groups=("all",), zones=("here",), mixes={"all": "all"}, make=make, run=ask
        ),
    ),
)
