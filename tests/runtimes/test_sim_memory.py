"""Memory does not grow with virtual time, nor with the number of clients that have come and gone."""

from __future__ import annotations

import asyncio
import gc

from aiohttp import web

from harness.runtimes.base import Session
from harness.system import Client, Host
from tests.runtimes.support import ACCESS, application, hello, make_system, run


def _objects() -> int:
    gc.collect()
    return len(gc.get_objects())


def test_a_long_run_holds_no_more_than_a_short_one() -> None:
    """Timers that were cancelled (aiohttp's 300 s for each request), connections that were closed."""

    async def closes(host: Host) -> None:
        async def answer(_: web.Request) -> web.Response:
            response = web.Response()
            response.force_close()
            return response

        await host.serve(application(answer))

    async def body(session: Session) -> list[int]:
        async def client(number: int) -> None:
            async with session.client(Client(f"c{number}", "here", "any", ACCESS), "caller") as host:
                while True:
                    for node in ("hello", "closes"):
                        async with host.http(node).get("/") as answer:
                            await answer.read()
                    await host.clock.sleep(1)

        tasks = [asyncio.ensure_future(client(number)) for number in range(5)]
        found = []
        for _ in range(3):
            await session.clock.sleep(300)
            found.append(_objects())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return found

    first, *later = run(make_system({"hello": hello, "closes": closes}), body)
    assert max(later) < first + 300


def test_clients_that_left_are_forgotten() -> None:
    async def body(session: Session) -> list[int]:
        async def client(number: int) -> None:
            async with (
                session.client(Client(f"c{number}", "here", "any", ACCESS), "caller") as host,
                host.http("hello").get("/") as answer,
            ):
                await answer.read()

        found = []
        for round_ in range(3):
            for number in range(200):
                await client(round_ * 200 + number)
            await session.clock.sleep(120)
            found.append(_objects())
        return found

    first, *later = run(make_system(), body)
    assert max(later) < first + 300
