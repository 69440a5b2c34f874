"""Interference with HTTP requests at a node: a middleware in front of the service's own."""

from __future__ import annotations

import asyncio
import fnmatch
import random
import re
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler

from harness.faults.primitives import Exposure, HttpRule


class Interferer:
    """One `HttpRule` in force; `rng` is its own stream, so that what it draws shifts nothing else."""

    def __init__(self, rule: HttpRule, rng: random.Random) -> None:
        self._rule = rule
        self._rng = rng
        self._fits = re.compile(fnmatch.translate(rule.route)).match
        self._requests = 0

    def takes(self, method: str, path: str) -> bool:
        """Whether this request is interfered with; counts it if so."""
        rule = self._rule
        if (rule.method is not None and rule.method != method) or not self._fits(path):
            return False
        if rule.probability < 1.0 and self._rng.random() >= rule.probability:
            return False
        self._requests += 1
        return True

    async def answer(self) -> web.Response | None:
        """Wait as the rule says; then what to answer instead of the service, None for its own answer."""
        if self._rule.delay_s:
            await asyncio.sleep(self._rule.delay_s)
        if self._rule.status is None:
            return None
        return web.Response(status=self._rule.status, text="answered by a fault of the experiment\n")

    def exposure(self) -> Exposure:
        return Exposure(requests=self._requests)


class Interference:
    """The rules in force at one node, in the order of application. They outlive a restart of the node."""

    def __init__(self, served: Callable[[], None]) -> None:
        self._served = served
        self._rules: dict[Interferer, None] = {}

    def add(self, interferer: Interferer) -> None:
        self._rules[interferer] = None

    def remove(self, interferer: Interferer) -> None:
        self._rules.pop(interferer, None)

    def put_before(self, app: web.Application) -> None:
        """Put the middleware in front. RuntimeError for an application that has been served before."""
        if app.frozen:
            raise RuntimeError(
                "this web.Application was served before; make a new one in the service function"
            )

        @web.middleware
        async def interfere(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._served()
            for interferer in tuple(self._rules):
                if interferer.takes(request.method, request.path):
                    answer = await interferer.answer()
                    if answer is not None:
                        return answer
            return await handler(request)

        app.middlewares.insert(0, interfere)
