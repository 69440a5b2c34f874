"""A system whose only node has one processor core; a request costs 20 ms of it."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from harness.system import Host, Node, System, Topology


@dataclass(frozen=True, slots=True)
class Seen:
    t_s: float


async def api(host: Host) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/", answer)
    await host.serve(app)


system = System(
    name="costly",
    topology=Topology(("here",), (Node("api-1", "api", "here", api, costs={"GET /": "20ms"}),), ()),
    safeguards=(),
    tables={"seen": Seen},
    workloads=(),
)
