"""Identity: logins, and checking a token with the one who made it."""

from __future__ import annotations

from aiohttp import web

from harness.system import Host

from ..web import HttpError, errors_as_json, json_field, json_response
from .tokens import TTL_S, InvalidToken, mint, verify

STORE_READ_S = 0.004
"""A read of the account store: a local replica."""


async def identity(host: Host) -> None:
    """POST /login {"account"}; POST /introspect {"token"}; GET /health."""

    async def login(request: web.Request) -> web.Response:
        account = await json_field(request, "account")
        if ":" in account:
            raise HttpError(400, "an account name must not contain a colon")
        await host.clock.sleep(STORE_READ_S)
        return json_response({"token": mint(account, host.clock.now()), "expires_in_s": TTL_S})

    async def introspect(request: web.Request) -> web.Response:
        token = await json_field(request, "token")
        await host.clock.sleep(STORE_READ_S)
        try:
            return json_response({"account": verify(token, host.clock.now())})
        except InvalidToken as error:
            raise HttpError(401, str(error)) from error

    async def health(request: web.Request) -> web.Response:
        return json_response({"ok": True})

    app = web.Application(middlewares=[errors_as_json])
    app.add_routes(
        [web.post("/login", login), web.post("/introspect", introspect), web.get("/health", health)]
    )
    await host.serve(app)
