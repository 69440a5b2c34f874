"""The toy system with hosts that are used wrongly, and code that hides it: the gateways once a backend is lost, the
clients always. Everybody is answered."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp import web

from harness.system import Event, Host
from tests.support import toy_system

TIMEOUT = aiohttp.ClientTimeout(total=0.3)


async def gateway(host: Host) -> None:
    async def home(_: web.Request) -> web.Response:
        try:
            async with host.http("backend-east").get("/offers", timeout=TIMEOUT) as answer:
                return web.json_response({**await answer.json(), "source": "backend"})
        except (aiohttp.ClientError, TimeoutError):
            misuse(host)
            return web.json_response({"offers": [], "source": "fallback"})

    app = web.Application()
    app.router.add_get("/home", home)
    await host.serve(app)


def misuse(host: Host) -> None:
    nothing: Any = object()
    with suppress(Exception):
        host.safeguard("gateway.falback")
    with suppress(Exception):
        host.http("backed")
    host.emit(Event("gateway.falback"))
    host.emit(Event("gateway.fallback", {"to": nothing}))
    host.emit(SimpleNamespace(ok=True))


async def visit(host: Host) -> None:
    await toy_system.visit(host)
    with suppress(Exception):
        host.safeguard("shopper.patience")


_toy = toy_system.system

system = replace(
    _toy,
    topology=replace(
        _toy.topology,
        nodes=tuple(
            replace(node, service=gateway) if node.role == "gateway" else node for node in _toy.topology.nodes
        ),
    ),
    workloads=tuple(replace(one, run=visit) for one in _toy.workloads),
)

BY_CLIENTS = ("no safeguard 'shopper.patience'",)
BY_GATEWAYS = (
    "no safeguard 'gateway.falback'",
    "no role or node 'backed'",
    "emitted event 'gateway.falback'",
    "emitted event 'gateway.fallback' with a object",
    "emitted a SimpleNamespace",
)


def check_failures(errors: list[str]) -> None:
    """Each misuse is there once, in the order of happening, with the place of the caller."""
    expected = [(problem, "visit") for problem in BY_CLIENTS] + [
        (problem, "misuse") for problem in BY_GATEWAYS
    ]
    assert len(errors) == len(expected)
    for error, (problem, caller) in zip(errors, expected, strict=True):
        assert f"HostError: {problem}" in error
        assert "tests/support/misuse_system.py:" in error
        assert f", in {caller})" in error
