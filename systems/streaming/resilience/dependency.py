"""Calls to one dependency through every guard a caller should have: deadline, bulkhead, breaker, retry.

Which guards are on is the caller's choice (its safeguards), so that each can be shown to matter.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from json import loads
from typing import Any

import aiohttp

from harness.system import Event, Host

from .breaker import HYSTRIX, Breaker, BreakerOpen, BreakerPolicy
from .bulkhead import Bulkhead, BulkheadFull
from .deadline import Deadline
from .retry_budget import RetryBudget


class Unavailable(Exception):
    """The dependency gave no useful answer: refused, reset, too late, 5xx, or not asked at all."""

    def __init__(self, dependency: str, reason: str) -> None:
        super().__init__(f"{dependency}: {reason}")
        self.dependency = dependency
        self.reason = reason


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
            raise Unavailable(self.dependency, f"HTTP {self.status}{_said(self.body)}")
        try:
            data = loads(self.body)
        except ValueError as error:
            raise Unavailable(self.dependency, f"not JSON: {error}") from error
        if not isinstance(data, dict):
            raise Unavailable(self.dependency, f"not a JSON object: {str(data)[:40]}")
        return data


@dataclass(frozen=True, slots=True)
class Guards:
    """How a dependency is called. `budget_s` None: wait for ever; `limit` None: no bulkhead;
    `breaker` None: no breaker; `retry`: repeat once, in what is left of the budget, when the first attempt
    failed fast (reset, 5xx) and the retry budget allows."""

    budget_s: float | None = 1.0
    limit: int | None = 64
    breaker: BreakerPolicy | None = HYSTRIX
    retry: bool = False

    def without(self, *, deadline: bool = False, breaker: bool = False, bulkhead: bool = False) -> Guards:
        """The same with the named guards off."""
        return replace(
            self,
            budget_s=None if deadline else self.budget_s,
            breaker=None if breaker else self.breaker,
            limit=None if bulkhead else self.limit,
        )


class Dependency:
    """The client side of one dependency (a role, or a node by name) on one host."""

    def __init__(self, host: Host, name: str, guards: Guards) -> None:
        self.name = name
        self._host = host
        self._guards = guards
        self._retries = RetryBudget()
        self._bulkhead = None if guards.limit is None else Bulkhead(name, guards.limit)
        self._breaker = (
            None
            if guards.breaker is None
            else Breaker(name, host.clock, guards.breaker, on_change=self._state_changed)
        )

    def _state_changed(self, state: str) -> None:
        self._host.emit(Event("breaker.state", {"dependency": self.name, "state": state}))

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
        if self._guards.budget_s is not None:
            deadline = deadline.within(self._guards.budget_s)
        self._retries.request()

        async def attempt() -> Answer:
            return await self._attempt(method, path, deadline, params, json, headers)

        try:
            return await self._guarded(attempt)
        except Unavailable as error:
            fast = not isinstance(error.__cause__, TimeoutError | BreakerOpen | BulkheadFull)
            if not (self._guards.retry and fast and not deadline.expired and self._retries.try_spend()):
                raise
        return await self._guarded(attempt)

    async def _guarded(self, attempt: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            if self._bulkhead is None:
                return await (attempt() if self._breaker is None else self._breaker.call(attempt))
            with self._bulkhead:
                return await (attempt() if self._breaker is None else self._breaker.call(attempt))
        except (BreakerOpen, BulkheadFull) as error:
            raise Unavailable(self.name, str(error)) from error

    async def _attempt(
        self,
        method: str,
        path: str,
        deadline: Deadline,
        params: Mapping[str, str] | None,
        json: object,
        headers: Mapping[str, str] | None,
    ) -> Answer:
        try:
            async with (
                deadline.enforce(),
                self._host.http(self.name).request(
                    method, path, params=params, json=json, headers={**deadline.headers(), **(headers or {})}
                ) as response,
            ):
                body = await response.read()
        except TimeoutError as error:
            raise Unavailable(self.name, "no answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(self.name, f"{type(error).__name__}: {error}") from error
        if response.status >= 500:
            raise Unavailable(self.name, f"HTTP {response.status}{_said(body)}")
        return Answer(self.name, response.status, body, response.headers)


def _said(body: bytes) -> str:
    """The `error` of a JSON answer, so that the first cause reaches whoever reads the last error."""
    try:
        data = loads(body)
    except ValueError:
        return ""
    return f" ({data['error']})" if isinstance(data, dict) and isinstance(data.get("error"), str) else ""
