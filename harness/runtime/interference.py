"""Interference with HTTP requests at a node: a middleware in front of the service."""

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
    """One `HttpRule` in force. `rng` is its own stream: its draws do not shift those of others."""

    def __init__(self, rule: HttpRule, rng: random.Random) -> None:
        self.rule = rule
        self._rng = rng
        self._route_matches = re.compile(fnmatch.translate(rule.route)).match
        self._requests = 0

    def applies_to(self, method: str, path: str) -> bool:
        """Whether to interfere with this request; count it if so."""
        rule = self.rule
        if (rule.method is not None and rule.method != method) or not self._route_matches(path):
            return False
        if rule.probability < 1.0 and self._rng.random() >= rule.probability:
            return False
        self._requests += 1
        return True

    def exposure(self) -> Exposure:
        return Exposure(requests=self._requests)


class Interference:
    """The rules in force at one node, in the order in which they were added. They outlive a restart of the node.

    `served` is called for every request.
    """

    def __init__(self, served: Callable[[], None]) -> None:
        self._served = served
        self._rules: dict[Interferer, None] = {}

    def add(self, interferer: Interferer) -> None:
        self._rules[interferer] = None

    def remove(self, interferer: Interferer) -> None:
        self._rules.pop(interferer, None)

    def install(self, app: web.Application) -> None:
        """Add the middleware in front of all others. The delays of all rules that apply to a request add up; then
        the first status among them is the answer. RuntimeError for an application that was served before.
        """

        @web.middleware
        async def interfere(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._served()
            if not self._rules:
                return await handler(request)
            rules = [each.rule for each in self._rules if each.applies_to(request.method, request.path)]
            if delay_s := sum(rule.delay_s for rule in rules):
                await asyncio.sleep(delay_s)
            for rule in rules:
                if rule.status is not None:
                    return web.json_response({"error": "injected fault"}, status=rule.status)
            return await handler(request)

        app.middlewares.insert(0, interfere)
