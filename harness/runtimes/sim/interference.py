"""HTTP faults at a node: an aiohttp middleware that stands before the service's own handlers."""

from __future__ import annotations

from fnmatch import fnmatchcase
from random import Random

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from harness.faults.primitives import Exposure, HttpRule
from harness.system import Clock


class RuleInForce:
    """One `HttpRule` at one node; an `Applied`. Undoing it is idempotent."""

    def __init__(self, interference: Interference, rule: HttpRule, rng: Random) -> None:
        self.rule = rule
        self._interference = interference
        self._rng = rng
        self._requests = 0

    def hits(self, request: web.Request) -> bool:
        """Whether this request is interfered with; counts it."""
        rule = self.rule
        if (rule.method is not None and request.method != rule.method) or not fnmatchcase(
            request.path, rule.route
        ):
            return False
        if rule.probability < 1.0 and self._rng.random() >= rule.probability:
            return False
        self._requests += 1
        return True

    async def undo(self) -> None:
        self._interference.rules.pop(self, None)

    def exposure(self) -> Exposure:
        return Exposure(requests=self._requests)


class Interference:
    """The rules at one node. They outlive its process: the fault is in front of it, not in it."""

    def __init__(self) -> None:
        self.rules: dict[RuleInForce, None] = {}

    def add(self, rule: HttpRule, rng: Random) -> RuleInForce:
        in_force = RuleInForce(self, rule, rng)
        self.rules[in_force] = None
        return in_force

    def middleware(self, clock: Clock) -> Middleware:
        """The delays of all rules that fit add up; the first status among them is the answer."""

        @web.middleware
        async def interfere(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self.rules:
                return await handler(request)
            hits = [rule.rule for rule in list(self.rules) if rule.hits(request)]
            delay_s = sum(rule.delay_s for rule in hits)
            if delay_s > 0:
                await clock.sleep(delay_s)
            for rule in hits:
                if rule.status is not None:
                    return web.json_response({"error": "injected fault"}, status=rule.status)
            return await handler(request)

        return interfere
