"""Calls to one dependency through every guard a caller should have: deadline, bulkhead, breaker, ejection, retry.

Which guards are on is the caller's choice (its safeguards), so that each can be shown to matter.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from json import loads
from typing import Any

import aiohttp

from harness.system import Event, Host

from .balancer import EJECTION, Balancer, Member
from .breaker import HYSTRIX, Breaker, BreakerOpen, BreakerPolicy
from .bulkhead import Bulkhead, BulkheadFull
from .deadline import Deadline
from .retry_budget import RetryBudget

CONNECT_TIMEOUT_S = 0.25
"""After so long without a connection the next node is tried."""

FAIR_SHARE = 0.5
"""A time-out is the caller's own doing when it left the dependency less than this share of its budget."""

WARM_S = 10.0
"""Between requests that keep a connection to far nodes: a handshake alone would take the whole budget of a call."""

WARM_CONNECTIONS = 2
"""To each of them: for calls that overlap."""


class Unavailable(Exception):
    """The dependency gave no useful answer: refused, reset, too late, 5xx, garbage, or not asked at all.

    `retry_after_s`: what it asked for itself; None when it did not. `blameless`: it is not the dependency's fault.
    `crowded`: it was not asked, since too many calls are under way.
    """

    def __init__(
        self,
        dependency: str,
        reason: str,
        *,
        retry_after_s: int | None = None,
        blameless: bool = False,
        crowded: bool = False,
    ) -> None:
        super().__init__(f"{dependency}: {reason}")
        self.dependency = dependency
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.blameless = blameless
        self.crowded = crowded


def _is_blameless(error: Exception) -> bool:
    return isinstance(error, Unavailable) and error.blameless


class _NoConnection(Unavailable):
    """Nothing was sent: another node may be asked without a second thought."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer below 500."""

    dependency: str
    status: int
    body: bytes
    headers: Mapping[str, str]

    def object(self) -> dict[str, Any]:
        """The JSON object of a 200. Raises Unavailable: anything else is no useful answer."""
        if self.status != 200:
            raise Unavailable(self.dependency, f"HTTP {self.status}{_quote_error(self.body)}")
        try:
            data = loads(self.body)
        except ValueError as error:
            raise Unavailable(self.dependency, f"not JSON: {error}") from error
        if not isinstance(data, dict):
            raise Unavailable(self.dependency, f"not a JSON object: {str(data)[:40]}")
        return data


def read_object(answer: Answer) -> None:
    """The check of services that answer in JSON: a 200 is a JSON object."""
    if answer.status == 200:
        answer.object()


def accept_any(answer: Answer) -> None:
    """The check of services whose answers are not JSON."""


@dataclass(frozen=True, slots=True)
class Guards:
    """How a dependency is called.

    `budget_s` None: wait for ever. `remote_budget_s`: the budget of a node in another zone, when it differs.
    `limit` None: no bulkhead. `breaker` None: no breaker. `ejection` None: no node is ejected.
    `retry`: repeat once, in what is left of the budget and at another node if there is one, when the first attempt
    failed fast (reset, 5xx) and the retry budget allows.
    `check` raises Unavailable for an answer that is of no use: breaker and ejection count it as a failure.
    """

    budget_s: float | None = 1.0
    limit: int | None = 64
    breaker: BreakerPolicy | None = HYSTRIX
    retry: bool = False
    remote_budget_s: float | None = None
    ejection: BreakerPolicy | None = EJECTION
    check: Callable[[Answer], None] = field(default=read_object)

    def without(
        self, *, deadline: bool = False, breaker: bool = False, bulkhead: bool = False, ejection: bool = False
    ) -> Guards:
        """The same with the named guards off."""
        return replace(
            self,
            budget_s=None if deadline else self.budget_s,
            remote_budget_s=None if deadline else self.remote_budget_s,
            breaker=None if breaker else self.breaker,
            limit=None if bulkhead else self.limit,
            ejection=None if ejection else self.ejection,
        )

    def budget_of(self, member: Member) -> float | None:
        return self.budget_s if member.local or self.remote_budget_s is None else self.remote_budget_s


class Dependency:
    """The client side of one dependency (a role, or a node by name) on one host."""

    def __init__(self, host: Host, name: str, guards: Guards) -> None:
        self.name = name
        self._host = host
        self._guards = guards
        self._retries = RetryBudget()
        self._cold = asyncio.Event()
        self._bulkhead = None if guards.limit is None else Bulkhead(name, guards.limit)
        self._breaker = (
            None
            if guards.breaker is None
            else Breaker(
                name,
                host.clock,
                guards.breaker,
                is_neutral=_is_blameless,
                on_change=lambda state: host.emit(
                    Event("breaker.state", {"dependency": name, "state": state})
                ),
            )
        )
        self._nodes = Balancer(host, name, guards.ejection, _is_blameless, self._ejected)

    def _ejected(self, node: str, ejected: bool) -> None:
        name = "dependency.ejected" if ejected else "dependency.returned"
        self._host.emit(Event(name, {"dependency": self.name, "node": node}))

    async def request(
        self,
        path: str,
        deadline: Deadline,
        *,
        method: str = "GET",
        params: Mapping[str, str] | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The answer, also a 4xx. Raises Unavailable. `deadline` is the caller's own."""
        if deadline.expired:
            raise Unavailable(self.name, "not asked: the deadline of the request has passed", blameless=True)
        self._retries.request()
        started_s = self._host.clock.now()
        tried: list[Member] = []

        async def attempt() -> Answer:
            """At the first node that takes a connection."""
            while True:
                member = self._nodes.pick(tried) or self._nodes.pick()
                assert member is not None
                again = member in tried
                tried.append(member)
                try:
                    return await member.call(partial(ask, member))
                except _NoConnection:
                    if again or deadline.expired or self._nodes.pick(tried) is None:
                        raise

        async def ask(member: Member) -> Answer:
            budget_s = self._guards.budget_of(member)
            at_s = deadline.at_s if budget_s is None else min(deadline.at_s, started_s + budget_s)
            until = Deadline(self._host.clock, at_s)
            blameless = budget_s is not None and until.remaining_s < FAIR_SHARE * budget_s
            # Without a budget nothing bounds the wait, not even for a connection.
            connect_s = None if budget_s is None else CONNECT_TIMEOUT_S
            try:
                return await self._ask(
                    member.name, method, path, until, params, json, headers, blameless, connect_s
                )
            except Unavailable as error:
                if not member.local and isinstance(error.__cause__, TimeoutError):
                    self._cold.set()
                raise

        try:
            return await self._guarded(attempt)
        except Unavailable as error:
            fast = not isinstance(error.__cause__, TimeoutError | BreakerOpen | BulkheadFull)
            # Who asks for time gets it: only another node may be asked at once.
            allowed = error.retry_after_s is None or self._nodes.pick(tried) is not None
            if not (
                self._guards.retry and fast and allowed and not deadline.expired and self._retries.try_spend()
            ):
                raise
        return await self._guarded(attempt)

    async def keep_warm(self) -> None:
        """Keep connections to each far node, for ever; one that a time-out has cost is made anew at once."""
        clock, rng = self._host.clock, self._host.rng
        while True:
            self._cold.clear()
            nodes = [member.name for member in self._nodes.remote for _ in range(WARM_CONNECTIONS)]
            await asyncio.gather(*map(self._ping, nodes))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WARM_S * rng.uniform(0.8, 1.2)):
                    await self._cold.wait()
                await clock.sleep(CONNECT_TIMEOUT_S)

    async def _ping(self, node: str) -> None:
        with contextlib.suppress(Unavailable):
            deadline = Deadline.after(self._host.clock, 1.0)
            await self._ask(node, "GET", "/health", deadline, None, None, None, True)

    async def _guarded(self, attempt: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            if self._bulkhead is None:
                return await (attempt() if self._breaker is None else self._breaker.call(attempt))
            with self._bulkhead:
                return await (attempt() if self._breaker is None else self._breaker.call(attempt))
        except (BreakerOpen, BulkheadFull) as error:
            raise Unavailable(self.name, str(error), crowded=isinstance(error, BulkheadFull)) from error

    async def _ask(
        self,
        node: str,
        method: str,
        path: str,
        deadline: Deadline,
        params: Mapping[str, str] | None,
        json: object,
        headers: Mapping[str, str] | None,
        blameless: bool,
        connect_s: float | None = CONNECT_TIMEOUT_S,
    ) -> Answer:
        try:
            async with (
                deadline.enforce(),
                self._host.http(node).request(
                    method,
                    path,
                    params=params,
                    json=json,
                    headers={**deadline.headers(), **(headers or {})},
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_s),
                ) as response,
            ):
                body = await response.read()
        except aiohttp.ConnectionTimeoutError as error:
            raise _NoConnection(self.name, "no connection in time") from error
        except TimeoutError as error:
            raise Unavailable(self.name, "no answer in time", blameless=blameless) from error
        except aiohttp.ClientConnectorError as error:
            raise _NoConnection(self.name, f"{type(error).__name__}: {error}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(self.name, f"{type(error).__name__}: {error}") from error
        if response.status >= 500:
            wait = response.headers.get("Retry-After", "")
            raise Unavailable(
                self.name,
                f"HTTP {response.status}{_quote_error(body)}",
                retry_after_s=int(wait) if wait.isdecimal() else None,
                blameless=response.status == 504 and blameless,
            )
        answer = Answer(self.name, response.status, body, response.headers)
        self._guards.check(answer)
        return answer


def _quote_error(body: bytes) -> str:
    """The `error` of a JSON answer, so that the first cause reaches whoever reads the last error."""
    try:
        data = loads(body)
    except ValueError:
        return ""
    return f" ({data['error']})" if isinstance(data, dict) and isinstance(data.get("error"), str) else ""
