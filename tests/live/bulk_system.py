"""A system whose only work is to send and to take bytes, for what the kernel network does to their rate."""

from __future__ import annotations

from aiohttp import web

from harness.system import Host, Link, Node, System, Topology

NARROW_BPS = 40e6
"""Between the zones near and far."""


async def store(host: Host) -> None:
    async def send(request: web.Request) -> web.StreamResponse:
        """As many bytes as asked for (`/bytes/1000`); `/stream` never ends."""
        answer = web.StreamResponse()
        await answer.prepare(request)
        left = int(request.match_info.get("n", 2**60))
        while left > 0:
            await answer.write(bytes(min(left, 65536)))
            left -= 65536
        return answer

    async def take(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    app = web.Application(client_max_size=2**30)
    app.router.add_get("/bytes/{n}", send)
    app.router.add_get("/stream", send)
    app.router.add_post("/", take)
    await host.serve(app)


system = System(
    name="bulk",
    topology=Topology(
        zones=("near", "far"),
        nodes=(
            *(Node(f"store-{n}", "store", "near", store) for n in (1, 2)),
            Node("store-far", "store", "far", store),
        ),
        links=(Link("near", "far", rtt_s=0.002, bandwidth_bps=NARROW_BPS),),
    ),
    safeguards=(),
    tables={},
    workloads=(),
    invariants=(),
)
