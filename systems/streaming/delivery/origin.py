"""Storage appliances at the exchange and the origin: they hold everything."""

from __future__ import annotations

from aiohttp import web

from harness.system import Host

from ..resilience.deadline import Deadline
from ..web import HttpError, errors_as_json, json_response
from .segments import ROUTE, Sender, segment_key, size_of

DISK_READ_S = {"storage": 0.004, "origin": 0.012}
"""First byte from spinning disks, and from an object store."""

PATIENCE_S = 10.0
"""What a client waits that does not say so."""

CONNECTIONS = {"storage": 2000, "origin": 500}


async def full_copy(host: Host) -> None:
    """GET /v/{title}/{rendition}/{segment}; GET /health -> {"ok", "load"}. For roles storage and origin."""
    sender = Sender(host.role, CONNECTIONS[host.role])
    read_s = DISK_READ_S[host.role]

    async def segment(request: web.Request) -> web.StreamResponse:
        n_bytes = size_of(segment_key(request))
        deadline = Deadline.from_headers(host.clock, request.headers, PATIENCE_S)
        await host.clock.sleep(read_s)
        if deadline.expired:
            raise HttpError(504, "nobody waits for this segment any more")
        return await sender.send(request, n_bytes, "hit")

    async def health(request: web.Request) -> web.Response:
        return json_response({"ok": True, "load": sender.load})

    app = web.Application(middlewares=[errors_as_json])
    app.add_routes([web.get(ROUTE, segment), web.get("/health", health)])
    await host.serve(app)
