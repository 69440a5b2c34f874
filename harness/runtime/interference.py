"""Interference with HTTP requests at a node: a middleware in front of the service."""

from __future__ import annotations

import asyncio
import fnmatch
import random
import re
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler

from harness.faults.exposure import MIN_NOTICEABLE_S, Cause, Exposure, ExposureCounter
from harness.faults.primitives import HttpRule
from harness.runtime.causation import HEADER, current_cause, set_cause


class Interferer:
    """One `HttpRule` in force. `rng` is its own stream: its draws do not shift those of others."""

    def __init__(self, rule: HttpRule, rng: random.Random) -> None:
        self.rule = rule
        self._rng = rng
        self._route_matches = re.compile(fnmatch.translate(rule.route)).match
        self._effects = ExposureCounter()

    def applies_to(self, method: str, path: str) -> bool:
        """Whether to interfere with this request."""
        rule = self.rule
        if (rule.method is not None and rule.method != method) or not self._route_matches(path):
            return False
        return rule.probability >= 1.0 or self._rng.random() < rule.probability

    def count(self) -> None:
        """Count a request that it delays, or answers."""
        self._effects.request(current_cause() or Cause.BACKGROUND)

    def exposure(self) -> Exposure:
        return self._effects.exposure()


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
            if (cause := request.headers.get(HEADER)) is not None:
                set_cause(Cause[cause] if cause in Cause.__members__ else Cause.BACKGROUND)
            if not self._rules:
                return await handler(request)
            rules = [each for each in self._rules if each.applies_to(request.method, request.path)]
            answering = next((each for each in rules if each.rule.status is not None), None)
            for each in rules:
                if each is answering or each.rule.delay_s >= MIN_NOTICEABLE_S:
                    each.count()
            if delay_s := sum(each.rule.delay_s for each in rules):
                await asyncio.sleep(delay_s)
            if answering is not None and answering.rule.status is not None:
                return web.json_response({"error": "injected fault"}, status=answering.rule.status)
            return await handler(request)

        app.middlewares.insert(0, interfere)
