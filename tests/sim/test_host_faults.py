"""Faults that act from within a node's host: its clock, its disk, its names and its config."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web

from harness.faults.clock_skew import ClockSkew
from harness.faults.primitives import Applied, ClockRule, DiskRule, NameRule
from harness.runtime.contract import Session
from harness.system import Host
from tests.sim.support import CLIENT, application, hello, make_system, run


def ask(
    answer: Callable[[Host], Awaitable[str]],
    body: Callable[[Session, Callable[[], Awaitable[str]]], Awaitable[Applied | None]],
) -> None:
    """A node `asked`, whose every answer is a call of `answer`, beside `hello-1` and `hello-2`."""

    async def service(host: Host) -> None:
        async def handler(_: web.Request) -> web.Response:
            return web.Response(text=await answer(host))

        await host.serve(application(handler))

    async def whole(session: Session) -> None:
        async with session.client(CLIENT, "caller") as host:

            async def get() -> str:
                async with host.http("asked").get("/") as response:
                    return await response.text()

            applied = await body(session, get)
            assert applied is None or applied.exposure().touched

    run(
        make_system({"asked": service, "hello-1": hello, "hello-2": hello}, asked={"version": 1, "kept": 7}),
        whole,
    )


async def _skew(host: Host) -> str:
    seconds = [host.clock.wall().timestamp(), datetime.now(UTC).timestamp(), time.time()]  # noqa: TID251
    own = 1_767_225_600 + 5 + host.clock.now()
    (skew,) = {round(one - own, 3) for one in seconds}
    return str(skew)


def test_clock_skew_jumps_and_drifts() -> None:
    async def body(session: Session, get: Callable[[], Awaitable[str]]) -> Applied:
        assert await get() == "0.0"
        applied = await session.primitives.skew("asked", ClockRule(-60, 0.01))
        began_s = session.clock.now()
        assert float(await get()) == pytest.approx(-60, abs=0.01)
        await session.clock.sleep(began_s + 1000 - session.clock.now())
        assert float(await get()) == pytest.approx(-50, abs=0.01)
        more = await session.primitives.skew("asked", ClockRule(100))
        assert float(await get()) == pytest.approx(50, abs=0.01)
        await more.undo()
        await applied.undo()
        assert await get() == "0.0"
        return applied

    ask(_skew, body)


async def _disk(host: Host) -> str:
    began_s = host.clock.now()
    try:
        await host.disk.write("key", b"x" * 100)
        wrote = "100"
    except OSError as error:
        wrote = errno.errorcode[error.errno or 0]
    try:
        data = await host.disk.read("key")
        read = str(len(data or b""))
    except OSError as error:
        read = errno.errorcode[error.errno or 0]
    return f"{wrote} {read} {host.clock.now() - began_s:.3f}"


def test_disk() -> None:
    async def body(session: Session, get: Callable[[], Awaitable[str]]) -> Applied:
        assert await get() == "100 100 0.000"
        applied: Applied
        for rule, expected in (
            (DiskRule(0.25), "100 100 0.500"),
            (DiskRule(error="full"), "ENOSPC 100 0.000"),
            (DiskRule(error="read"), "100 EIO 0.000"),
        ):
            applied = await session.primitives.disk("asked", rule)
            assert await get() == expected
            await applied.undo()
        torn = await session.primitives.disk("asked", DiskRule(error="torn"))
        wrote, read, _ = (await get()).split()
        assert wrote == "100"
        assert int(read) < 100
        assert torn.exposure().counted.requests == 1
        await torn.undo()
        assert await get() == "100 100 0.000"
        return applied

    ask(_disk, body)


async def _name(host: Host) -> str:
    began_s = host.clock.now()
    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(use_dns_cache=False, force_close=True)
            ) as session,
            session.get("http://hello-1/") as answer,
        ):
            text = await answer.text()
    except aiohttp.ClientConnectorError as error:
        text = socket_error(error)
    return f"{text} {host.clock.now() - began_s > 2}"


def socket_error(error: aiohttp.ClientConnectorError) -> str:
    number = error.os_error.errno
    return {socket.EAI_AGAIN: "again", socket.EAI_NONAME: "no name"}.get(number or 0, str(error))


def test_dns() -> None:
    async def body(session: Session, get: Callable[[], Awaitable[str]]) -> Applied:
        assert await get() == "hello-1 False"
        applied: Applied
        for rule, expected in (
            (NameRule(answer="error"), "again False"),
            (NameRule("hello-*", "empty"), "no name False"),
            (NameRule("hello-1", "wrong", "hello-2"), "hello-2 False"),
            (NameRule(delay_s=3), "hello-1 True"),
        ):
            applied = await session.primitives.resolve("asked", rule)
            assert await get() == expected
            assert applied.exposure().requests == 1
            await applied.undo()
        other = await session.primitives.resolve("asked", NameRule("other", "error"))
        assert await get() == "hello-1 False"
        assert not other.exposure().touched
        return applied

    ask(_name, body)


async def _config(host: Host) -> str:
    return f"{host.config['version']} {host.config['kept']}"


def test_deploy_and_roll_back() -> None:
    async def body(session: Session, get: Callable[[], Awaitable[str]]) -> Applied:
        assert await get() == "1 7"
        for version in (2, 1):
            applied = await session.primitives.deploy("asked", {"version": version})
            with pytest.raises(aiohttp.ClientConnectorError):
                await get()
            await session.clock.sleep(2)
            await applied.undo()
            assert await get() == f"{version} 7"
        return applied

    ask(_config, body)


def test_signed_quantities() -> None:
    fault = ClockSkew.model_validate(
        {
            "fault": "clock-skew",
            "at": "1s",
            "for": "1s",
            "target": {"role": "x"},
            "offset": "-1m30s",
            "drift": "-1%",
        }
    )
    assert (fault.offset, fault.drift) == (-90, -0.01)
