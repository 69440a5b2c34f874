"""Processor time for HTTP requests at a node: a middleware that charges `Node.costs`."""

from __future__ import annotations

import random
from collections.abc import Iterator

from aiohttp import web
from aiohttp.typedefs import Handler

from harness.errors import HarnessError
from harness.runtime.processor import Processor
from harness.system.processor import Costs, CostTable


class UnknownRoute(HarnessError):
    """`Node.costs` names a route that the application does not have."""


class Charges:
    """The costs of one node. `rng` is their own stream."""

    def __init__(self, costs: Costs, processor: Processor, rng: random.Random) -> None:
        self._table = CostTable(costs)
        self._processor = processor
        self._rng = rng

    def install(self, app: web.Application) -> None:
        """Charge each request before its handler, behind an interference and in front of all other middlewares.

        UnknownRoute for costs of routes that the application does not have.
        """
        if not self._table:
            return
        known = [(route.method, route.resource.canonical) for route in app.router.routes() if route.resource]
        if unknown := self._table.unmatched(known):
            routes = ", ".join(f"{method} {path}" for method, path in known if method != "HEAD")
            raise UnknownRoute(f"Node.costs: no route {', '.join(unknown)}; the application has {routes}")
        samplers: dict[tuple[str, str], Iterator[float] | None] = {}

        @web.middleware
        async def charge(request: web.Request, handler: Handler) -> web.StreamResponse:
            resource = request.match_info.route.resource
            route = "" if resource is None else resource.canonical  # "": a route that does not exist
            key = request.method, route
            if key not in samplers:
                cost = self._table.find(*key)
                samplers[key] = None if cost is None else cost.sampler(self._rng)
            if (sampler := samplers[key]) is not None:
                await self._processor.work(next(sampler))
            return await handler(request)

        app.middlewares.insert(1, charge)
