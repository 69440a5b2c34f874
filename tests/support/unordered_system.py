"""The toy system with a backend that takes a time which depends on the hash seed of Python."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from harness.system import Host
from tests.support import toy_system


async def backend(host: Host) -> None:
    async def offers(_: web.Request) -> web.Response:
        await host.clock.sleep(0.001 + hash("a set of text would do") % 10**6 / 1e8)
        return web.json_response({"offers": [], "starts": 1})

    app = web.Application()
    app.router.add_get("/{path:.*}", offers)
    await host.serve(app)


_toy = toy_system.system
system = replace(
    _toy,
    topology=replace(
        _toy.topology,
        nodes=tuple(
            replace(node, service=backend) if node.role == "backend" else node for node in _toy.topology.nodes
        ),
    ),
)
