"""Memory does not grow with virtual time: what is over leaves nothing behind.

Each test does the same thing for 200 virtual seconds and then on to 2,000, and compares the two moments: the
blocks that Python's allocator has in use (exact, small objects), what the garbage collector tracks, and the
resident memory of the process (large objects, and what the others cannot see).
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import psutil
from pytest_benchmark.fixture import BenchmarkFixture

from harness.runtimes.base import Session
from harness.system import Client, Host
from tests.benchmarks.viewers import ACCESS, PERIOD_S, SEGMENT_BYTES, fetch, simulate, view

EARLY_S = 200.0
LATE_S = 2000.0

LEAST_REQUESTS = 4500
"""Served between the two moments, in every test."""

MORE_BLOCKS = LEAST_REQUESTS // 3
"""asyncio keeps up to a hundred cancelled timers, each with the context of its client. A leak that is worth
the name has several blocks for each request."""

MORE_RESIDENT_BYTES = 12_000_000
"""Two dozen segments, for other tests of the process leave their marks, too. One kept from every request
would be gigabytes."""

type Life = Callable[[Session], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Memory:
    """What this process has in use: blocks of the allocator, objects tracked by the collector, bytes in RAM."""

    blocks: int
    objects: int
    resident_bytes: int


def memory() -> Memory:
    gc.collect()
    return Memory(
        blocks=sys.getallocatedblocks(),
        objects=len(gc.get_objects()),
        resident_bytes=psutil.Process().memory_info().rss,
    )


def early_and_late(life: Life) -> tuple[Memory, Memory]:
    """Memory at two moments of a run in which `life` goes on all the time."""
    found: list[Memory] = []
    requests: list[int] = []

    async def body(session: Session) -> None:
        living = asyncio.ensure_future(life(session))
        for moment_s in (EARLY_S, LATE_S):
            await session.clock.sleep(moment_s - session.clock.now())
            assert not living.done(), living
            found.append(memory())
            requests.append(session.statistics()["requests"])
        living.cancel()

    simulate(body)
    assert requests[1] - requests[0] >= LEAST_REQUESTS
    return found[0], found[1]


def assert_no_growth(benchmark: BenchmarkFixture, life: Life) -> None:
    early, late = benchmark.pedantic(early_and_late, args=(life,), rounds=1)
    grown = Memory(
        late.blocks - early.blocks, late.objects - early.objects, late.resident_bytes - early.resident_bytes
    )
    benchmark.extra_info |= {
        "blocks_more": grown.blocks,
        "objects_more": grown.objects,
        "resident_bytes_more": grown.resident_bytes,
        "resident_bytes": late.resident_bytes,
    }
    assert grown.blocks <= MORE_BLOCKS, grown
    assert grown.objects <= MORE_BLOCKS, grown
    assert grown.resident_bytes <= MORE_RESIDENT_BYTES, grown


async def forever(session: Session, number: int, life: Callable[[Host], Awaitable[object]]) -> None:
    client = Client(f"viewer-{number}", "isp", "any", ACCESS)
    async with session.client(client, "viewer") as host:
        while True:
            await life(host)


def test_kept_alive_connections(benchmark: BenchmarkFixture) -> None:
    async def life(session: Session) -> None:
        await asyncio.gather(*(forever(session, number, lambda host: view(host, 3)) for number in range(12)))

    assert_no_growth(benchmark, life)


def test_short_connections(benchmark: BenchmarkFixture) -> None:
    """Every request has a connection of its own, which the server or the client then closes."""

    async def one(host: Host, number: int) -> None:
        async with host.http("edge").get("/segment", headers={"Connection": "close"}) as answer:
            if number % 2:  # the other half is left unread
                assert len(await answer.read()) == SEGMENT_BYTES
        await host.clock.sleep(1)

    async def life(session: Session) -> None:
        await asyncio.gather(
            *(forever(session, number, lambda host, number=number: one(host, number)) for number in range(4))
        )

    assert_no_growth(benchmark, life)


def test_clients_that_come_and_go(benchmark: BenchmarkFixture) -> None:
    async def life(session: Session) -> None:
        async def one_after_the_other(name: str) -> None:
            arrived = 0
            while True:
                arrived += 1
                client = Client(f"{name}-{arrived}", "isp", "any", ACCESS)
                async with session.client(client, "viewer") as host:
                    await fetch(host.http("edge"), SEGMENT_BYTES)
                await session.clock.sleep(0.5)

        await asyncio.gather(*(one_after_the_other(name) for name in ("ada", "ben")))

    assert_no_growth(benchmark, life)


def test_cancelled_timers_and_tasks(benchmark: BenchmarkFixture) -> None:
    """A time-out that is never reached, and a hedged request of which the slower is given up, every time."""

    async def one(host: Host) -> None:
        http = host.http("edge")
        async with asyncio.timeout(86_400):
            hedged = [asyncio.ensure_future(fetch(http, SEGMENT_BYTES)) for _ in range(2)]
            _, late = await asyncio.wait(hedged, return_when=asyncio.FIRST_COMPLETED, timeout=3600)
        for each in late:
            each.cancel()
        await host.clock.sleep(PERIOD_S / 4)

    async def life(session: Session) -> None:
        await asyncio.gather(*(forever(session, number, one) for number in range(2)))

    assert_no_growth(benchmark, life)
