"""A node that answers with what it sees of its clock, its disk, its names and its config; and two that it asks."""

from __future__ import annotations

import errno
import socket
import time

import aiohttp
from aiohttp import web

from harness.system import Host, Node, System, Topology


async def asked(host: Host) -> None:
    async def clock(_: web.Request) -> web.Response:
        # The run time of both worlds passes as the wall clock does.
        seconds = (time.time(), host.clock.wall().timestamp())  # noqa: TID251
        return web.json_response([one - host.clock.now() for one in seconds])

    async def disk(_: web.Request) -> web.Response:
        try:
            await host.disk.write("key", b"x" * 100)
            return web.json_response(len(await host.disk.read("key") or b""))
        except OSError as error:
            return web.json_response(errno.errorcode[error.errno or 0])

    async def name(_: web.Request) -> web.Response:
        try:
            async with host.http("other-1").get("/", headers={"Connection": "close"}) as answer:
                return web.json_response(await answer.text())
        except aiohttp.ClientConnectorError as error:
            number = error.os_error.errno or 0
            return web.json_response({socket.EAI_AGAIN: "EAI_AGAIN"}.get(number, number))

    async def config(_: web.Request) -> web.Response:
        return web.json_response(dict(host.config))

    app = web.Application()
    for handler in (clock, disk, name, config):
        app.router.add_get(f"/{handler.__name__}", handler)
    await host.serve(app)


async def other(host: Host) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=host.name)

    app = web.Application()
    app.router.add_get("/", answer)
    await host.serve(app)


system = System(
    name="host-faults",
    topology=Topology(
        ("here",),
        (
            Node("asked", "asked", "here", asked, {"version": 1, "kept": 7}),
            Node("other-1", "other", "here", other),
            Node("other-2", "other", "here", other),
        ),
        (),
    ),
    safeguards=(),
    tables={},
    workloads=(),
)
