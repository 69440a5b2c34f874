"""A system of one node that answers with 50 KB: for tests of rates."""

from __future__ import annotations

from aiohttp import web

from harness.system import Host, Link, Node, System, Topology

BLOB_BYTES = 50_000


async def blobs(host: Host) -> None:
    async def blob(_: web.Request) -> web.Response:
        return web.Response(body=bytes(BLOB_BYTES))

    app = web.Application()
    app.router.add_get("/blob", blob)
    await host.serve(app)


system = System(
    name="blobs",
    topology=Topology(
        zones=("here", "there"),
        nodes=(Node("blob-1", "blob", "here", blobs),),
        links=(Link("here", "there", rtt_s=0.002, bandwidth_bps=3.2e6),),
    ),
    safeguards=(),
    tables={},
    workloads=(),
)
