"""The front door: checks tokens, sheds by priority, fans out with deadlines, degrades instead of failing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from harness.system import Event, Host

from ..records import ServedRow
from ..resilience.breaker import HYSTRIX
from ..resilience.deadline import Deadline
from ..resilience.dependency import Answer, Dependency, Guards, Unavailable
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
from .home import Home
from .snapshot import SnapshotFeed
from .tokens import InvalidToken, verify

IN_FLIGHT_LIMIT = 256
HOME_BUDGET_S = 0.1
PLAY_BUDGET_S = 0.8
STEER_BUDGET_S = 0.3
LOGIN_BUDGET_S = 0.5
"""Budgets of one interaction, in seconds."""

VERIFY_S = 0.002
"""Checking a token and routing."""

ASSEMBLE_S = 0.004
"""Assembling and serialising a home page."""

type Handled = tuple[web.Response, str | None]
"""An answer, and its level of personalisation where it has one."""


class Gateway:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._deadlines = host.safeguard("gateway.deadline")
        self._offline_tokens = host.safeguard("gateway.offline_tokens")
        self._shedder = Shedder(IN_FLIGHT_LIMIT) if host.safeguard("gateway.shedding") else None
        self.feed = SnapshotFeed(host)
        self._home = Home(host, self.feed)
        self._identity = self._dependency("identity", LOGIN_BUDGET_S)
        self._playback = self._dependency("playback", PLAY_BUDGET_S, retry=host.safeguard("gateway.retry"))
        self._steering = self._dependency("steering", STEER_BUDGET_S)

    def _dependency(self, name: str, budget_s: float, *, retry: bool = False) -> Dependency:
        safeguard = self._host.safeguard
        return Dependency(
            self._host,
            name,
            Guards(budget_s=budget_s, limit=64, breaker=HYSTRIX, retry=retry).without(
                deadline=not safeguard("gateway.deadline"),
                breaker=not safeguard("gateway.breaker"),
                bulkhead=not safeguard("gateway.bulkhead"),
            ),
        )

    def _budget(self, budget_s: float) -> Deadline:
        if self._deadlines:
            return Deadline.after(self._host.clock, budget_s)
        return Deadline.never(self._host.clock)

    async def _account(self, request: web.Request, deadline: Deadline) -> str:
        """Who asks. Raises HttpError 401, or 503 when only the identity service could tell and cannot."""
        token = bearer_token(request)
        await self._host.clock.sleep(VERIFY_S)
        if self._offline_tokens:
            try:
                return verify(token, self._host.clock.now())
            except InvalidToken as error:
                raise HttpError(401, str(error)) from error
        answer = await self._identity.request("/introspect", deadline, method="POST", json={"token": token})
        if answer.status != 200:
            raise HttpError(401, "the identity service does not know this token")
        return str(answer.object().get("account"))

    async def home(self, request: web.Request) -> Handled:
        deadline = self._budget(HOME_BUDGET_S)
        account = await self._account(request, deadline)
        level, rows = await self._home.page(account, deadline)
        await self._host.clock.sleep(ASSEMBLE_S)
        return json_response({"level": level, "rows": rows}), level

    async def play(self, request: web.Request) -> Handled:
        deadline = self._budget(PLAY_BUDGET_S)
        await self._account(request, deadline)
        title = await json_field(request, "title")
        params = {"title": title, "isp": _isp(request)}
        return _passed_on(await self._playback.request("/manifest", deadline, params=params)), None

    async def steer(self, request: web.Request) -> Handled:
        deadline = self._budget(STEER_BUDGET_S)
        await self._account(request, deadline)
        params = {"title": query(request, "title"), "isp": _isp(request)}
        return _passed_on(await self._steering.request("/rank", deadline, params=params)), None

    async def login(self, request: web.Request) -> Handled:
        account = await json_field(request, "account")
        answer = await self._identity.request(
            "/login", self._budget(LOGIN_BUDGET_S), method="POST", json={"account": account}
        )
        return _passed_on(answer), None

    async def health(self, request: web.Request) -> Handled:
        return json_response({"ok": True, "snapshot": self.feed.current is not None}), None

    def route(
        self, name: str, priority: Priority, handler: Callable[[web.Request], Awaitable[Handled]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        """The handler behind admission, with its errors turned into answers and each answer recorded."""
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
            if shedder is not None and not shedder.try_enter(priority):
                emit(Event("gateway.shed", {"route": name, "priority": priority.name}))
                record(request, started_at_s, 503, None)
                return HttpError(503, "too busy for this now", retry_after_s=2).response()
            level = None
            try:
                response, level = await handler(request)
            except HttpError as error:
                response = error.response()
            except Unavailable as error:
                response = HttpError(503, str(error), retry_after_s=1).response()
            except Exception:
                record(request, started_at_s, 500, None)
                raise
            finally:
                if shedder is not None:
                    shedder.leave()
            record(request, started_at_s, response.status, level)
            return response

        return served


def _isp(request: web.Request) -> str:
    isp = request.headers.get("X-Isp")
    if not isp:
        raise HttpError(400, "the header 'X-Isp' is missing")
    return isp


def _passed_on(answer: Answer) -> web.Response:
    return raw_json(answer.body, answer.status)


async def gateway(host: Host) -> None:
    """POST /login, GET /home, POST /play, GET /steer, GET /health."""
    front = Gateway(host)
    app = web.Application(middlewares=[errors_as_json])
    app.add_routes(
        [
            web.post("/login", front.route("login", Priority.DEGRADED, front.login)),
            web.get("/home", front.route("home", Priority.DEGRADED, front.home)),
            web.post("/play", front.route("play", Priority.CRITICAL, front.play)),
            web.get("/steer", front.route("steer", Priority.BEST_EFFORT, front.steer)),
            web.get("/health", front.route("health", Priority.BULK, front.health)),
        ]
    )
    async with asyncio.TaskGroup() as tasks:
        await front.feed.start()
        tasks.create_task(front.feed.run())
        await host.serve(app)
