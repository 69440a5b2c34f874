"""Interference with a node from within its host: HTTP requests (a middleware in front of the service), the wall clock,
the disk, and the names that it looks up."""

from __future__ import annotations

import asyncio
import errno
import fnmatch
import os
import random
import re
import socket
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal

from aiohttp import web
from aiohttp.typedefs import Handler

from harness.faults.exposure import MIN_NOTICEABLE_S, Cause, Exposure, ExposureCounter
from harness.faults.primitives import BodyFault, ClockRule, DiskRule, HostRule, HttpRule, NameRule
from harness.runtime.bodies import REPLACEMENT, spoil_body
from harness.runtime.causation import HEADER, current_cause, set_cause
from harness.system import Disk

_BODY = web.RequestKey[BodyFault]("harness.body")


class Interferer[R: HostRule]:
    """One rule in force, since `began_s` of run time. `rng` is its own stream: its draws shift no others."""

    def __init__(self, rule: R, rng: random.Random, began_s: float = 0.0) -> None:
        self.rule = rule
        self.rng = rng
        self.began_s = began_s
        self._effects = ExposureCounter()

    def strikes(self, probability: float) -> bool:
        return probability >= 1.0 or self.rng.random() < probability

    def count(self, cause: Cause = Cause.BACKGROUND) -> None:
        """Count what it delays or answers. `cause`: where the code does not say."""
        self._effects.request(current_cause() or cause)

    def exposure(self) -> Exposure:
        return self._effects.exposure()


@cache
def _pattern(pattern: str) -> Callable[[str], object]:
    return re.compile(fnmatch.translate(pattern)).match


def _applies_to(interferer: Interferer[HttpRule], method: str, path: str) -> bool:
    """Whether to interfere with this request."""
    rule = interferer.rule
    if (rule.method is not None and rule.method != method) or not _pattern(rule.route)(path):
        return False
    return interferer.strikes(rule.probability)


class Interference:
    """The rules in force at one node, in the order in which they were added. They outlive a restart of the node.

    `served` is called for every request.
    """

    def __init__(self, served: Callable[[], None]) -> None:
        self._served = served
        self._rules: dict[Interferer[HttpRule], None] = {}
        self._clocks: dict[Interferer[ClockRule], None] = {}
        self._disks: dict[Interferer[DiskRule], None] = {}
        self._names: dict[Interferer[NameRule], None] = {}

    def add(self, interferer: Interferer[Any]) -> None:
        self._rules_like(interferer)[interferer] = None

    def remove(self, interferer: Interferer[Any]) -> None:
        self._rules_like(interferer).pop(interferer, None)

    def _rules_like(self, interferer: Interferer[Any]) -> dict[Interferer[Any], None]:
        match interferer.rule:
            case ClockRule():
                return self._clocks
            case DiskRule():
                return self._disks
            case NameRule():
                return self._names
            case _:
                return self._rules

    def skew_s(self, now_s: float) -> float:
        """How far the wall clock is ahead at this run time. Counted as a reading of the clock."""
        skew_s = 0.0
        for each in self._clocks:
            each.count(Cause.UNATTRIBUTED)
            skew_s += each.rule.offset_s + each.rule.drift * (now_s - each.began_s)
        return skew_s

    async def look_up(self, name: str) -> str:
        """The name to look up in place of this one, after the delay. `socket.gaierror` where that is the answer."""
        for each in self._names:
            rule = each.rule
            if not _pattern(rule.host)(name) or not each.strikes(rule.probability):
                continue
            each.count(Cause.UNATTRIBUTED)
            await asyncio.sleep(rule.delay_s)
            if rule.answer == "error":
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
            if rule.answer == "empty":
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return rule.to or name
        return name

    def disk(self, disk: Disk) -> Disk:
        """The disk as the rules in force make it."""
        return _Disk(disk, self._disks)

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
            rules = [each for each in self._rules if _applies_to(each, request.method, request.path)]
            answering = next((each for each in rules if each.rule.status is not None), None)
            spoiling = None if answering else next((each for each in rules if each.rule.body), None)
            for each in rules:
                if each is answering or each is spoiling or each.rule.delay_s >= MIN_NOTICEABLE_S:
                    each.count()
            if delay_s := sum(each.rule.delay_s for each in rules):
                await asyncio.sleep(delay_s)
            if answering is not None and answering.rule.status is not None:
                return web.json_response({"error": "injected fault"}, status=answering.rule.status)
            if spoiling is not None and spoiling.rule.body is not None:
                if spoiling.rule.body == "replaced":
                    return web.Response(text=REPLACEMENT, content_type="text/html")
                request[_BODY] = spoiling.rule.body
            return await handler(request)

        async def spoil(request: web.Request, response: web.StreamResponse) -> None:
            if (fault := request.get(_BODY)) is not None:
                spoil_body(request, response, fault)

        app.middlewares.insert(0, interfere)
        app.on_response_prepare.append(spoil)


class _Disk:
    """A disk with faults (`harness.system.Disk`)."""

    def __init__(self, disk: Disk, rules: Mapping[Interferer[DiskRule], None]) -> None:
        self._disk = disk
        self._rules = rules

    async def read(self, key: str) -> bytes | None:
        if self._rules:
            await self._strike("read")
        return await self._disk.read(key)

    async def write(self, key: str, data: bytes) -> None:
        torn = await self._strike("full") if self._rules else None
        if torn is not None:
            data = data[: torn.rng.randrange(len(data) or 1)]
        await self._disk.write(key, data)

    async def _strike(self, fails: Literal["full", "read"]) -> Interferer[DiskRule] | None:
        """Wait, and raise OSError, as the rules say. Returns one that tears the write."""
        torn = None
        for each in list(self._rules):
            rule = each.rule
            concerns = rule.delay_s > 0 or rule.error == fails or (rule.error == "torn" and fails == "full")
            if not concerns or not each.strikes(rule.probability):
                continue
            each.count(Cause.UNATTRIBUTED)
            await asyncio.sleep(rule.delay_s)
            if rule.error == fails:
                number = errno.ENOSPC if fails == "full" else errno.EIO
                raise OSError(number, os.strerror(number))
            if rule.error == "torn" and fails == "full":
                torn = each
        return torn
