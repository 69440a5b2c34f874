"""The load of the benchmarks: viewers that fetch a segment every few seconds, and nothing else.

The same aiohttp application and the same kind of request serve in virtual time and over the real loopback,
so that one can be measured by the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from harness.runtime.contract import RunSettings, Session
from harness.sim.runtime import SimRuntime
from harness.system import Access, Client, Host, Link, Node, System, Topology

SEGMENT_BYTES = 500_000
PERIOD_S = 4.0
ACCESS = Access(down_bps=20e6, up_bps=5e6, rtt_s=0.02)
"""0.2 s for a segment: as fast as an ordinary access line."""


def application(segment_bytes: int) -> web.Application:
    segment = bytes(segment_bytes)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=segment)

    app = web.Application()
    app.router.add_get("/segment", answer)
    return app


async def edge(host: Host) -> None:
    await host.serve(application(SEGMENT_BYTES))


def system(bandwidth_bps: float = 10e9) -> System:
    """One edge, and the link over which all viewers reach it."""
    return System(
        name="viewers",
        topology=Topology(
            zones=("isp", "exchange"),
            nodes=(Node("edge-1", "edge", "exchange", edge),),
            links=(Link("isp", "exchange", rtt_s=0.005, bandwidth_bps=bandwidth_bps),),
        ),
        safeguards=(),
        tables={},
        workloads=(),
    )


@dataclass(frozen=True, slots=True)
class Viewing:
    """What was asked for, and what it came to."""

    viewers: int
    virtual_s: float
    requests: int

    @property
    def viewer_seconds(self) -> float:
        return self.viewers * self.virtual_s


def simulate(body: Callable[[Session], Awaitable[None]], bandwidth_bps: float = 10e9) -> None:
    SimRuntime().run(RunSettings(system(bandwidth_bps), seed=1), body)


async def view(host: Host, periods: int) -> int:
    """Fetch a segment at the beginning of each period, over one kept-alive connection."""
    start_s, http = host.clock.now(), host.http("edge")
    for period in range(periods):
        await host.clock.sleep(start_s + period * PERIOD_S - host.clock.now())
        await fetch(http, SEGMENT_BYTES)
    await host.clock.sleep(start_s + periods * PERIOD_S - host.clock.now())
    return periods


async def fetch(http: aiohttp.ClientSession, segment_bytes: int) -> None:
    async with http.get("/segment") as answer:
        assert answer.status == 200
        assert len(await answer.read()) == segment_bytes


async def watch(session: Session, viewers: int, periods: int) -> int:
    """So many viewers at once, beginning one after the other within a period. Returns the requests made."""

    async def viewer(number: int) -> int:
        await session.clock.sleep(PERIOD_S * number / viewers)
        async with session.client(Client(f"viewer-{number}", "isp", "any", ACCESS), "viewer") as host:
            return await view(host, periods)

    return sum(await asyncio.gather(*(viewer(number) for number in range(viewers))))


def watch_in_virtual_time(viewers: int, for_s: float, bandwidth_bps: float = 10e9) -> Viewing:
    requests = 0

    async def body(session: Session) -> None:
        nonlocal requests
        requests = await watch(session, viewers, int(for_s / PERIOD_S))

    simulate(body, bandwidth_bps)
    return Viewing(viewers, for_s, requests)


async def fetch_over_loopback(requests: int) -> None:
    """The same requests, one after the other, from this process to itself."""
    runner = web.AppRunner(application(SEGMENT_BYTES), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession(f"http://{host}:{port}/") as http:
            for _ in range(requests):
                await fetch(http, SEGMENT_BYTES)
    finally:
        await runner.cleanup()
