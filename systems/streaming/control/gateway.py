"""The front door: checks tokens, sheds by priority, fans out with deadlines, degrades instead of failing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from harness.system import Event, Host

from ..records import ServedRow
from ..resilience.breaker import LAST_RESORT
from ..resilience.deadline import Deadline, DeadlineExceeded
from ..resilience.dependency import Answer, Dependency, Guards, Unavailable
from ..resilience.fallback import LastKnownGood
from ..resilience.retry_budget import NO_RETRY_HEADER, RetryBudget
from ..resilience.shedding import Priority, Shedder
from ..web import (
    HttpError,
    bearer_token,
    errors_as_json,
    json_field,
    json_response,
    query,
    raw_json,
)
from .home import BULKHEAD, MAX_ROWS, ROW_S, ROWS, Home
from .snapshot import SnapshotFeed
from .tokens import GRACE_S, InvalidToken, verify

VERIFY_S = 0.002
"""Processor time of reading a request, checking its token and routing it (budget p50 2 ms; aiohttp and an HMAC take
0.1 ms, measured, a public-key signature and TLS records the rest)."""

QUEUE_S = 0.3
"""The most work that a gateway lets queue for one core: the p99 of a start (play API, 300 ms)."""

IN_FLIGHT_LIMIT = 64
"""Requests under way, by Little's law: 167 pages a second and core, times 0.3 s in the queue and 0.1 s with others."""

IDENTITY_LIMIT = 8
"""Logins under way: 33 a second (`identity.PASSWORD_S`, one core), times 0.25 s, half of their budget."""

REFUSED_BURST = QUEUE_S / (VERIFY_S + ROW_S * ROWS)
"""So many refused requests may come again beside a tenth of the admitted ones: a queue full of home pages, as after a
pause of the process, is no overload yet."""

REQUEST_BUDGET_S = 2.0
"""What a client waits that does not say so."""

HOME_BUDGET_S = 0.1
PLAY_BUDGET_S = 0.8
STEER_BUDGET_S = 0.3
LOGIN_BUDGET_S = 0.5
"""Budgets of one interaction, in seconds: how long other services may take."""

MANIFEST_MAX_AGE_S = 30 * 60.0
"""How old a manifest may be and still start a film."""

type Handled = tuple[web.Response, str | None]
"""An answer, and its level of personalisation where it has one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was admitted. `deadline`: of the client; what is too late for it is not worked on."""

    request: web.Request
    deadline: Deadline

    @property
    def headers(self) -> Mapping[str, str]:
        return self.request.headers

    @property
    def isp(self) -> str:
        isp = self.headers.get("X-Isp")
        if not isp:
            raise HttpError(400, "the header 'X-Isp' is missing")
        return isp


class Gateway:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._deadlines = host.safeguard("gateway.deadline")
        self._offline_tokens = host.safeguard("gateway.offline_tokens")
        self._shedder = (
            Shedder(IN_FLIGHT_LIMIT, work_limit_s=QUEUE_S * host.topology.node(host.name).cores)
            if host.safeguard("gateway.shedding")
            else None
        )
        self._retries = RetryBudget(burst=REFUSED_BURST)
        self.feed = SnapshotFeed(host)
        self._home = Home(host, self.feed)
        self._identity = self._dependency("identity", LOGIN_BUDGET_S, limit=IDENTITY_LIMIT)
        self._playback = self._dependency("playback", PLAY_BUDGET_S, retry=host.safeguard("gateway.retry"))
        self._steering = self._dependency("steering", STEER_BUDGET_S)
        self._manifests: LastKnownGood[dict[str, Any]] | None = (
            LastKnownGood(host.clock, limit=4096, max_age_s=MANIFEST_MAX_AGE_S)
            if host.safeguard("gateway.manifest_cache")
            else None
        )

    def _dependency(
        self, name: str, budget_s: float, *, retry: bool = False, limit: int = BULKHEAD
    ) -> Dependency:
        safeguard = self._host.safeguard
        return Dependency(
            self._host,
            name,
            Guards(budget_s=budget_s, limit=limit, breaker=LAST_RESORT, retry=retry).without(
                deadline=not safeguard("gateway.deadline"),
                breaker=not safeguard("gateway.breaker"),
                bulkhead=not safeguard("gateway.bulkhead"),
                ejection=not safeguard("gateway.ejection"),
            ),
        )

    async def run(self) -> None:
        """What goes on beside the requests, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.feed.run())
            tasks.create_task(self._home.keep_warm())

    async def _account(self, asked: Asked, deadline: Deadline) -> str:
        """Who asks. Raises HttpError 401, or 503 when only the identity service could tell and cannot."""
        token = bearer_token(asked.request)
        await asked.deadline.work(self._host, VERIFY_S)
        if self._offline_tokens:
            try:
                return verify(token, self._host.clock.now(), leeway_s=GRACE_S)
            except InvalidToken as error:
                raise HttpError(401, str(error)) from error
        answer = await self._identity.request("/introspect", deadline, method="POST", json={"token": token})
        if answer.status != 200:
            raise HttpError(401, "the identity service does not know this token")
        return str(answer.object().get("account"))

    def _within(self, asked: Asked, budget_s: float) -> Deadline:
        return asked.deadline.within(budget_s) if self._deadlines else asked.deadline

    async def home(self, asked: Asked) -> Handled:
        rows = _rows(asked.request)
        deadline = self._within(asked, HOME_BUDGET_S)
        account = await self._account(asked, deadline)
        level, page = await self._home.page(account, deadline, rows)
        await asked.deadline.work(self._host, ROW_S * rows)
        return json_response({"level": level, "rows": page}), level

    async def play(self, asked: Asked) -> Handled:
        deadline = self._within(asked, PLAY_BUDGET_S)
        await self._account(asked, deadline)
        title = await json_field(asked.request, "title")
        isp = asked.isp
        try:
            answer = await self._playback.request("/manifest", deadline, params={"title": title, "isp": isp})
        except Unavailable as error:
            # Who says when to come back has decided so itself: that is not papered over.
            kept = None if error.retry_after_s is not None else self._kept_manifest(isp, title)
            if kept is None:
                raise
            self._host.emit(Event("gateway.kept_manifest", {"title": title, "reason": error.reason}))
            return json_response(kept), None
        if self._manifests is not None and answer.status == 200:
            manifest = answer.object()
            self._manifests.keep(f"{isp}|{title}", manifest)
            self._manifests.keep(isp, manifest)
        return _passed_on(answer), None

    def _kept_manifest(self, isp: str, title: str) -> dict[str, Any] | None:
        """The last manifest of the title; else that of another one in this ISP, with the length of this title."""
        if self._manifests is None:
            return None
        if (own := self._manifests.get(f"{isp}|{title}")) is not None:
            return own
        other = self._manifests.get(isp)
        info = None if self.feed.current is None else self.feed.current.titles.get(title)
        if other is None or info is None:
            return None
        return {**other, "title": info.id, "segments": info.segments}

    async def steer(self, asked: Asked) -> Handled:
        deadline = self._within(asked, STEER_BUDGET_S)
        await self._account(asked, deadline)
        params = {"title": query(asked.request, "title"), "isp": asked.isp}
        return _passed_on(await self._steering.request("/rank", deadline, params=params)), None

    async def login(self, asked: Asked) -> Handled:
        body = {"account": await json_field(asked.request, "account")}
        return await self._ask_identity(asked, "/login", body)

    async def refresh(self, asked: Asked) -> Handled:
        return await self._ask_identity(asked, "/refresh", {"token": bearer_token(asked.request)})

    async def _ask_identity(self, asked: Asked, path: str, body: dict[str, str]) -> Handled:
        await asked.deadline.work(self._host, VERIFY_S)
        deadline = self._within(asked, LOGIN_BUDGET_S)
        return _passed_on(await self._identity.request(path, deadline, method="POST", json=body)), None

    async def health(self, asked: Asked) -> Handled:
        return json_response({"ok": True, "snapshot": self.feed.current is not None}), None

    def _refusal(self, reason: str) -> web.Response:
        """Of a request that is too much. Only so many may come again: all others would keep the overload up."""
        if self._retries.try_spend():
            return HttpError(503, reason, retry_after_s=2).response()
        response = HttpError(503, reason).response()
        response.headers[NO_RETRY_HEADER] = "no"
        return response

    def route(
        self,
        name: str,
        priority: Priority,
        handler: Callable[[Asked], Awaitable[Handled]],
        work_s: Callable[[web.Request], float] = lambda request: VERIFY_S,
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        """The handler behind admission, with its errors turned into answers and each answer recorded.

        `work_s`: the processor time that a request is expected to take.
        """
        clock, emit, node = self._host.clock, self._host.emit, self._host.name
        shedder = self._shedder

        def record(request: web.Request, started_at_s: float, status: int, level: str | None) -> None:
            now_s = clock.now()
            emit(
                ServedRow(
                    t_s=now_s,
                    started_at_s=started_at_s,
                    node=node,
                    client=request.headers.get("X-Session"),
                    route=name,
                    network_class=request.headers.get("X-Network-Class", "unknown"),
                    status=status,
                    latency_s=now_s - started_at_s,
                    priority=priority.name,
                    level=level,
                )
            )

        async def served(request: web.Request) -> web.Response:
            started_at_s = clock.now()
            deadline = (
                Deadline.from_headers(clock, request.headers, REQUEST_BUDGET_S)
                if self._deadlines
                else Deadline.never(clock)
            )
            expected_s = work_s(request)
            if shedder is not None and not shedder.try_enter(priority, expected_s):
                emit(Event("gateway.shed", {"route": name, "priority": priority.name}))
                record(request, started_at_s, 503, None)
                return self._refusal("too busy for this now")
            self._retries.request()
            level = None
            try:
                response, level = await handler(Asked(request, deadline))
            except HttpError as error:
                response = error.response()
            except DeadlineExceeded as error:
                response = HttpError(504, str(error)).response()
            except Unavailable as error:
                if error.crowded:
                    response = self._refusal(str(error))
                else:
                    response = HttpError(503, str(error), retry_after_s=error.retry_after_s or 1).response()
            except Exception:
                record(request, started_at_s, 500, None)
                raise
            finally:
                if shedder is not None:
                    shedder.leave(expected_s)
            record(request, started_at_s, response.status, level)
            return response

        return served


def _rows(request: web.Request) -> int:
    """How many rows a home page is to have."""
    text = request.query.get("rows", str(ROWS))
    if not (text.isdecimal() and 1 <= int(text) <= MAX_ROWS):
        raise HttpError(400, f"rows must be 1 to {MAX_ROWS}")
    return int(text)


def _home_work_s(request: web.Request) -> float:
    text = request.query.get("rows", "")
    return VERIFY_S + ROW_S * (min(MAX_ROWS, int(text)) if text.isdecimal() else ROWS)


def _passed_on(answer: Answer) -> web.Response:
    return raw_json(answer.body, answer.status)


async def gateway(host: Host) -> None:
    """POST /login, POST /refresh, GET /home[?rows=N], POST /play, GET /steer, GET /health."""
    front = Gateway(host)
    app = web.Application(middlewares=[errors_as_json])
    app.add_routes(
        [
            web.post("/login", front.route("login", Priority.DEGRADED, front.login)),
            web.post("/refresh", front.route("refresh", Priority.BEST_EFFORT, front.refresh)),
            web.get("/home", front.route("home", Priority.DEGRADED, front.home, _home_work_s)),
            web.post("/play", front.route("play", Priority.CRITICAL, front.play)),
            web.get("/steer", front.route("steer", Priority.BEST_EFFORT, front.steer)),
            web.get("/health", front.route("health", Priority.BULK, front.health, lambda request: 0.0)),
        ]
    )
    async with asyncio.TaskGroup() as tasks:
        await front.feed.start()
        tasks.create_task(front.run())
        await host.serve(app)
