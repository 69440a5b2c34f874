"""How much memory a process has in use, early and late in a run in which the same goes on all the time.

    python -m tests.benchmarks.memory_lives kept-alive

prints as JSON what test_memory.py judges. It is a process of its own, so that nothing that ran before it leaves
holes in the heap that this run would fill, or tasks and caches that would go away meanwhile.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

import psutil

from harness.runtime.contract import Session
from harness.system import Client, Host
from tests.benchmarks.viewers import ACCESS, PERIOD_S, SEGMENT_BYTES, fetch, simulate, view

EARLY_S = 200.0
LATE_S = 2000.0

TIDY_EVERY_S = 2.0
"""Between collections. Requests and answers refer to each other, so their bodies (0.5 MB each) wait for the collector,
which counts objects, not bytes: how many wait at the worst moment is luck, and would be taken for growth."""

type Life = Callable[[Session], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Memory:
    """What this process has in use: blocks of the allocator, objects tracked by the collector, bytes in RAM.

    `requests`: how many the run has served until then.
    """

    blocks: int
    objects: int
    resident_bytes: int
    requests: int


def memory(requests: int) -> Memory:
    gc.collect()
    return Memory(
        blocks=sys.getallocatedblocks(),
        objects=len(gc.get_objects()),
        resident_bytes=psutil.Process().memory_info().rss,
        requests=requests,
    )


def early_and_late(life: Life, early_s: float = EARLY_S, late_s: float = LATE_S) -> tuple[Memory, Memory]:
    """Memory at two moments of a run in which `life` goes on all the time."""
    found: list[Memory] = []

    async def body(session: Session) -> None:
        living = asyncio.ensure_future(life(session))
        tidy = asyncio.ensure_future(_tidy(session))
        for moment_s in (early_s, late_s):
            await session.clock.sleep(moment_s - session.clock.now())
            assert not living.done(), living
            found.append(memory(session.statistics()["requests"]))
        living.cancel()
        tidy.cancel()

    simulate(body)
    return found[0], found[1]


async def _tidy(session: Session) -> None:
    while True:
        await session.clock.sleep(TIDY_EVERY_S)
        gc.collect()


async def forever(session: Session, number: int, life: Callable[[Host], Awaitable[object]]) -> None:
    client = Client(f"viewer-{number}", "isp", "any", ACCESS)
    async with session.client(client, "viewer") as host:
        while True:
            await life(host)


async def kept_alive(session: Session) -> None:
    """Every viewer has one connection, on which it asks for one segment after the other."""
    await asyncio.gather(*(forever(session, number, lambda host: view(host, 3)) for number in range(12)))


async def short(session: Session) -> None:
    """Every request has a connection of its own, which the server or the client then closes."""

    async def one(host: Host, number: int) -> None:
        async with host.http("edge").get("/segment", headers={"Connection": "close"}) as answer:
            if number % 2:  # the other half is left unread
                assert len(await answer.read()) == SEGMENT_BYTES
        await host.clock.sleep(1)

    await asyncio.gather(
        *(forever(session, number, functools.partial(one, number=number)) for number in range(4))
    )


async def come_and_go(session: Session) -> None:
    """Clients that arrive, fetch a segment and leave for good."""

    async def one_after_the_other(name: str) -> None:
        arrived = 0
        while True:
            arrived += 1
            client = Client(f"{name}-{arrived}", "isp", "any", ACCESS)
            async with session.client(client, "viewer") as host:
                await fetch(host.http("edge"), SEGMENT_BYTES)
            await session.clock.sleep(0.5)

    await asyncio.gather(*(one_after_the_other(name) for name in ("ada", "ben")))


async def cancelled(session: Session) -> None:
    """A time-out that is never reached, and a hedged request of which the slower is given up, every time."""

    async def one(host: Host) -> None:
        http = host.http("edge")
        async with asyncio.timeout(86_400):
            hedged = [asyncio.ensure_future(fetch(http, SEGMENT_BYTES)) for _ in range(2)]
            _, late = await asyncio.wait(hedged, return_when=asyncio.FIRST_COMPLETED, timeout=3600)
        for each in late:
            each.cancel()
        await host.clock.sleep(PERIOD_S / 4)

    await asyncio.gather(*(forever(session, number, one) for number in range(2)))


LIVES: dict[str, Life] = {
    "kept-alive": kept_alive,
    "short": short,
    "come-and-go": come_and_go,
    "cancelled": cancelled,
}


if __name__ == "__main__":
    print(json.dumps([asdict(moment) for moment in early_and_late(LIVES[sys.argv[1]])]))
