"""A shop whose orders are done by a worker in the background: accepted by one node, done by another.

Without the safeguard `worker.journal` an order that the worker holds when it crashes is lost: no row tells of it.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from harness.system import (
    Access,
    Client,
    Event,
    Host,
    MatchInvariant,
    MatchRows,
    Node,
    Safeguard,
    System,
    Topology,
    Workload,
)

WORK_S = 0.3


@dataclass(frozen=True, slots=True)
class Accepted:
    """An order that the shop has promised to do."""

    t_s: float
    order_id: str


@dataclass(frozen=True, slots=True)
class Received:
    """A request that the shop received."""

    t_s: float
    order_id: str


@dataclass(frozen=True, slots=True)
class Done:
    t_s: float
    order_id: str


async def shop(host: Host) -> None:
    orders: deque[str] = deque()

    async def order(request: web.Request) -> web.Response:
        orders.append(await request.text())
        host.emit(Received(host.clock.now(), orders[-1]))
        return web.Response(status=202)

    async def next_order(_: web.Request) -> web.Response:
        return web.Response(text=orders.popleft()) if orders else web.Response(status=204)

    app = web.Application()
    app.router.add_post("/orders", order)
    app.router.add_post("/next", next_order)
    await host.serve(app)


async def worker(host: Host) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(host.serve(web.Application()))  # a node is ready when it listens
        if left := await host.disk.read("order"):
            host.emit(Event("worker.resumed"))
            await do(host, left.decode())
        while True:
            await work(host)


async def work(host: Host) -> None:
    found = ""
    try:
        async with host.http("shop").post("/next") as answer:
            found = await answer.text()
    except (aiohttp.ClientError, TimeoutError):
        pass
    if found:
        await do(host, found)
    else:
        await host.clock.sleep(0.1)


async def do(host: Host, order: str) -> None:
    if host.safeguard("worker.journal"):
        await host.disk.write("order", order.encode())
    await host.clock.sleep(WORK_S)
    host.emit(Done(host.clock.now(), order))
    await host.disk.write("order", b"")


async def shopper(host: Host) -> None:
    """One order, asked for until it is accepted, then a look at other things."""
    for _ in range(3):
        try:
            async with host.http("shop").post("/orders", data=host.name) as answer:
                if answer.status == 202:
                    host.emit(Accepted(host.clock.now(), host.name))
                    break
        except (aiohttp.ClientError, TimeoutError):
            await host.clock.sleep(1)
    await host.clock.sleep(5)


def make(rng: random.Random, mix: str, index: int) -> Client:
    return Client(f"shopper-{index}", "dc", "fast", Access(down_bps=100e6, up_bps=20e6, rtt_s=0.02))


system = System(
    name="orders",
    topology=Topology(
        ("dc",), (Node("shop-1", "shop", "dc", shop), Node("worker-1", "worker", "dc", worker)), ()
    ),
    safeguards=(Safeguard("worker.journal", "an order that the worker holds when it crashes is done later"),),
    tables={"accepted": Accepted, "received": Received, "done": Done},
    workloads=(Workload("shoppers", "shopper", ("fast",), ("dc",), {"all": "all alike"}, make, shopper),),
    invariants=(
        MatchInvariant(
            "orders-done-once",
            every=MatchRows("accepted", "order_id"),
            found_in=MatchRows("done", "order_id"),
            within_s=15.0,
            protects="every accepted order is done exactly once",
        ),
    ),
    events={"worker.resumed": "the worker found an order in its journal"},
)
