"""A node with background tasks that die: one that nobody looks at, though it is referred to, and an awaited one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiohttp import web

from harness.system import Host, Node, System, Topology


@dataclass(frozen=True, slots=True)
class Seen:
    t_s: float


async def die(host: Host, what: str) -> None:
    await host.clock.sleep(0.2)
    raise KeyError(what)


async def api(host: Host) -> None:
    unnoticed = asyncio.create_task(die(host, "unnoticed"))
    await asyncio.gather(asyncio.create_task(die(host, "awaited")), return_exceptions=True)
    await host.serve(web.Application())
    del unnoticed


system = System(
    name="dying",
    topology=Topology(("here",), (Node("api-1", "api", "here", api),), ()),
    safeguards=(),
    tables={"seen": Seen},
    workloads=(),
)
