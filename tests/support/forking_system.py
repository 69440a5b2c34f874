"""A system whose only service starts a process of its own, as one that drives a transcoder would."""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web

from harness.system import Host, Node, System, Topology

CHILD = "import time; time.sleep(600)"


async def service(host: Host) -> None:
    """Starts its child, writes its id to its disk, and serves."""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD)
    await host.disk.write("child", str(child.pid).encode())

    async def said(_: web.Request) -> web.Response:
        return web.Response(text=str(child.pid))

    app = web.Application()
    app.router.add_get("/child", said)
    await host.serve(app)


system = System(
    name="forking",
    topology=Topology(zones=("here",), nodes=(Node("parent", "parent", "here", service),), links=()),
    safeguards=(),
    tables={},
    workloads=(),
)
