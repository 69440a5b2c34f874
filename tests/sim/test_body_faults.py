"""Faults in the bodies of responses, whichever way a service sends them, in virtual time."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from harness.faults.primitives import BodyFault, HttpRule
from harness.runtime.contract import Session
from harness.system import Host
from tests.sim.support import CLIENT, make_system, run

BODY = Path(__file__).read_bytes()
WAYS = ("/whole", "/stream", "/chunked", "/file")


async def _service(host: Host) -> None:
    async def whole(_: web.Request) -> web.Response:
        return web.Response(body=BODY)

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if request.path == "/stream":
            response.content_length = len(BODY)
        await response.prepare(request)
        for at in range(0, len(BODY), 1000):
            await response.write(BODY[at : at + 1000])
        await response.write_eof()
        return response

    async def send_file(_: web.Request) -> web.FileResponse:
        return web.FileResponse(__file__)

    app = web.Application()
    app.router.add_get("/whole", whole)
    app.router.add_get("/stream", stream)
    app.router.add_get("/chunked", stream)
    app.router.add_get("/file", send_file)
    await host.serve(app)


def _get(fault: BodyFault, path: str) -> tuple[int, str, bytes | None]:
    """Status, content type and body (None where it breaks off) of the same request with the fault, and then without."""

    async def body(session: Session) -> tuple[int, str, bytes | None]:
        async with session.client(CLIENT, "caller") as host:
            applied = await session.primitives.interfere("asked", HttpRule(route=path, body=fault))
            async with host.http("asked").get(path) as answer:
                data: bytes | None = None
                with contextlib.suppress(aiohttp.ClientPayloadError):
                    data = await answer.read()
                found = answer.status, answer.content_type, data
            assert applied.exposure().counted.requests == 1
            await applied.undo()
            async with host.http("asked").get(path) as answer:
                assert await answer.read() == BODY
            return found

    return run(make_system({"asked": _service}), body)


@pytest.mark.parametrize("path", WAYS)
def test_short_is_a_complete_response_with_less(path: str) -> None:
    status, _, data = _get("short", path)
    assert status == 200
    assert data is not None
    assert 0 < len(data) <= len(BODY) // 2
    assert data == BODY[: len(data)]


@pytest.mark.parametrize("path", WAYS)
def test_corrupt_keeps_the_length(path: str) -> None:
    status, _, data = _get("corrupt", path)
    assert status == 200
    assert data is not None
    assert len(data) == len(BODY)
    assert sum(a != b for a, b in zip(data, BODY, strict=True)) == math.ceil(len(BODY) / 1024)


@pytest.mark.parametrize("path", WAYS)
def test_cut_breaks_off_in_the_middle(path: str) -> None:
    status, _, data = _get("cut", path)
    assert (status, data) == (200, None)


@pytest.mark.parametrize("path", WAYS)
def test_replaced_is_a_page_of_status_200(path: str) -> None:
    status, kind, data = _get("replaced", path)
    assert (status, kind) == (200, "text/html")
    assert data is not None
    assert b"<html>" in data
