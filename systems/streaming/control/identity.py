"""Identity: logins, and checking a token with the one who made it."""

from __future__ import annotations

from aiohttp import web

from harness.system import Host

from ..resilience.deadline import Deadline
from ..web import HttpError, errors_as_json, json_field, json_response
from .tokens import GRACE_S, TTL_S, InvalidToken, mint, verify

STORE_READ_S = 0.004
"""A read of the account store, a local replica: a wait, no processor time."""

PASSWORD_S = 0.030
"""Processor time of a login. scrypt with N=2^14, r=8, p=1, as RFC 7914 names it for interactive logins: measured with
hashlib, 29 ms on one core."""

TOKEN_S = 0.0005
"""Processor time of reading a request, checking a token or making one. The budget of a token check is 2 ms at the
gateway; aiohttp and an HMAC take 0.1 ms (measured)."""

BUDGET_S = 0.5
"""What a caller waits that does not say so."""


async def identity(host: Host) -> None:
    """POST /login {"account"}; POST /refresh {"token"}; POST /introspect {"token"}; GET /health."""

    async def login(request: web.Request) -> web.Response:
        deadline = Deadline.from_headers(host.clock, request.headers, BUDGET_S)
        account = await json_field(request, "account")
        if ":" in account:
            raise HttpError(400, "an account name must not contain a colon")
        await host.clock.sleep(STORE_READ_S)
        await deadline.work(host, PASSWORD_S)
        return json_response({"token": mint(account, host.clock.now()), "expires_in_s": TTL_S})

    async def refresh(request: web.Request) -> web.Response:
        deadline = Deadline.from_headers(host.clock, request.headers, BUDGET_S)
        token = await json_field(request, "token")
        await host.clock.sleep(STORE_READ_S)
        await deadline.work(host, TOKEN_S)
        try:
            account = verify(token, host.clock.now(), leeway_s=GRACE_S)
        except InvalidToken as error:
            raise HttpError(401, str(error)) from error
        return json_response({"token": mint(account, host.clock.now()), "expires_in_s": TTL_S})

    async def introspect(request: web.Request) -> web.Response:
        deadline = Deadline.from_headers(host.clock, request.headers, BUDGET_S)
        token = await json_field(request, "token")
        await host.clock.sleep(STORE_READ_S)
        await deadline.work(host, TOKEN_S)
        try:
            return json_response({"account": verify(token, host.clock.now())})
        except InvalidToken as error:
            raise HttpError(401, str(error)) from error

    async def health(request: web.Request) -> web.Response:
        return json_response({"ok": True})

    app = web.Application(middlewares=[errors_as_json])
    app.add_routes(
        [
            web.post("/login", login),
            web.post("/refresh", refresh),
            web.post("/introspect", introspect),
            web.get("/health", health),
        ]
    )
    await host.serve(app)
