"""Bandwidth is shared max-min fairly: the arithmetic, and what an aiohttp client sees of it."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.faults.primitives import EndpointMatch, LinkShape, PathMatch
from harness.runtime.contract import Session
from harness.sim.network.fair import FairShare, Flow, Pipe
from harness.system import Access, Client, Host, Link, Node, System, Topology
from tests.sim.support import application, make_system, run

# ---------------------------------------------------------------------- the arithmetic

BOUNDS = st.one_of(st.just(math.inf), st.floats(min_value=0.5, max_value=500))


@st.composite
def schedules(draw: st.DrawFn) -> tuple[list[float], list[tuple[list[int], float] | int]]:
    """Capacities of pipes, and a list of steps: a flow starts (its pipes, its bound), or the n-th one stops."""
    capacities = draw(st.lists(st.floats(min_value=1, max_value=1000), min_size=1, max_size=6))
    pipes = st.lists(st.sampled_from(range(len(capacities))), max_size=4, unique=True)
    step = st.one_of(
        st.tuples(pipes, BOUNDS), st.tuples(pipes, BOUNDS), st.integers(min_value=0, max_value=50)
    )
    return capacities, draw(st.lists(step, max_size=25))


def assert_max_min_fair(flows: list[Flow], bounds: dict[Flow, float], pipes: list[Pipe]) -> None:
    """Feasible, and every flow has all that it may or a bottleneck (Bertsekas and Gallager, section 6.5.2):
    a full pipe on which no other flow gets more. This has exactly one solution.
    """
    slack = 1 + 1e-6
    for pipe in pipes:
        assert sum(flow.rate_Bps for flow in pipe.flows) <= pipe.capacity_Bps * slack
    for flow in flows:
        assert flow.rate_Bps <= bounds[flow] * slack
        assert flow.rate_Bps * slack >= bounds[flow] or any(
            sum(other.rate_Bps for other in pipe.flows) * slack >= pipe.capacity_Bps
            and all(flow.rate_Bps * slack >= other.rate_Bps for other in pipe.flows)
            for pipe in flow.pipes
        ), "a flow could have more"


@given(schedules())
@settings(deadline=None, max_examples=400)
def test_rates_are_max_min_fair_after_every_change(
    schedule: tuple[list[float], list[tuple[list[int], float] | int]],
) -> None:
    capacities, steps = schedule
    pipes = [Pipe(str(number), capacity) for number, capacity in enumerate(capacities)]
    fair = FairShare()
    flows: list[Flow] = []
    bounds: dict[Flow, float] = {}
    for now_s, step in enumerate(steps):
        if isinstance(step, tuple):
            numbers, bound = step
            flow = Flow(lambda _now_s: None)
            flow.remaining_bytes = 1e9
            bounds[flow] = bound
            flows.append(flow)
            fair.start(flow, tuple(pipes[number] for number in numbers), bound, float(now_s))
        elif flows:
            fair.stop(flows.pop(step % len(flows)), float(now_s))
        fair.settle(float(now_s))
        assert not fair.unsettled
        assert_max_min_fair(flows, bounds, pipes)


def test_a_flow_accounts_for_each_rate_it_had() -> None:
    """100 B/s alone for 1 s, 50 B/s beside another for 2 s, then alone again."""
    pipe, fair = Pipe("link", 100.0), FairShare()
    one, two = Flow(lambda _now_s: None), Flow(lambda _now_s: None)
    one.remaining_bytes = two.remaining_bytes = 1000.0
    fair.start(one, (pipe,), math.inf, 0.0)
    fair.settle(0.0)
    fair.start(two, (pipe,), math.inf, 1.0)
    fair.settle(1.0)
    fair.stop(two, 3.0)
    fair.settle(3.0)
    one.advance(4.0)
    assert one.remaining_bytes == pytest.approx(1000 - 100 - 100 - 100)
    assert two.remaining_bytes == pytest.approx(1000 - 100)


# ---------------------------------------------------------------------- through aiohttp

MEGABYTE = 1_000_000
FAST = Access(down_bps=math.inf, up_bps=math.inf, rtt_s=0.0002)


async def files(host: Host) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=bytes(int(request.query["size"])))

    await host.serve(application(answer))


def shop(*links: Link, nodes: tuple[tuple[str, str], ...] = (("files", "exchange"),)) -> System:
    """File servers (name, zone), and clients in the zones `isp` and `isp-2`."""
    return replace(
        make_system(),
        topology=Topology(
            ("exchange", "isp", "isp-2"),
            tuple(Node(name, "files", zone, files) for name, zone in nodes),
            links,
        ),
    )


@dataclass
class Download:
    """When it had half of its bytes, and all of them, counted from its start."""

    half_s: float = 0.0
    done_s: float = 0.0


async def download(
    session: Session,
    name: str,
    *,
    zone: str = "isp",
    node: str = "files",
    size: int = MEGABYTE,
    access: Access = FAST,
) -> Download:
    async with session.client(Client(name, zone, "any", access), "caller") as host:
        start_s = host.clock.now()
        result = Download()
        count = 0
        async with host.http(node).get("/", params={"size": size}) as answer:
            async for piece in answer.content.iter_any():
                count += len(piece)
                if not result.half_s and count >= size / 2:
                    result.half_s = host.clock.now() - start_s
        assert count == size
        result.done_s = host.clock.now() - start_s
        return result


def together(system: System, *downloads: dict[str, Any]) -> list[Download]:
    """Start them all at the same moment."""

    async def body(session: Session) -> list[Download]:
        return list(
            await asyncio.gather(*(download(session, f"c{n}", **each) for n, each in enumerate(downloads)))
        )

    return run(system, body)


@pytest.mark.parametrize("count", [1, 4, 16])
def test_downloads_share_a_link(count: int) -> None:
    """Ideal: all of them finish when the link has carried everything. Headers and handshakes are the rest."""
    system = shop(Link("exchange", "isp", rtt_s=0.001, bandwidth_bps=10e6))
    results = together(system, *({} for _ in range(count)))
    ideal_s = count * MEGABYTE * 8 / 10e6
    for result in results:
        assert result.done_s == pytest.approx(ideal_s, rel=0.02)
        assert result.done_s >= ideal_s
    for moments in ([result.half_s for result in results], [result.done_s for result in results]):
        assert max(moments) <= min(moments) * 1.02


def test_a_late_one_gets_its_share_and_gives_it_back() -> None:
    """10 Mbit/s = 1.25 MB/s. Alone for 1 s (1.25 MB), then half each: the late one needs 1.6 s for 1 MB,
    in which the first gets its second; the last 0.75 MB take 0.6 s: 3.2 s in all."""

    async def body(session: Session) -> list[float]:
        async def late() -> Download:
            await session.clock.sleep(1)
            return await download(session, "late")

        first, second = await asyncio.gather(download(session, "first", size=3 * MEGABYTE), late())
        return [first.done_s, second.done_s]

    system = shop(Link("exchange", "isp", rtt_s=0.001, bandwidth_bps=10e6))
    # Slow start behind a full queue of 100 ms costs the late one a third of a second.
    assert run(system, body) == pytest.approx([3.2, 1.6 + 0.327], rel=0.02)


def test_max_min_over_two_hops() -> None:
    """Three flows over the uplink (12 Mbit/s), one of them held to 2 Mbit/s by its own access link: the others
    get (12 - 2) / 2 = 5 each, not a third."""
    system = shop(Link("exchange", "isp", rtt_s=0.001, bandwidth_bps=12e6))
    slow = Access(down_bps=2e6, up_bps=2e6, rtt_s=0.0002)
    results = together(
        system,
        {"size": MEGABYTE * 2 // 5, "access": slow},
        {},
        {},
    )
    assert [result.done_s for result in results] == pytest.approx([1.6] * 3, rel=0.02)


def test_the_hop_that_binds_differs_from_flow_to_flow() -> None:
    """Server -> exchange 10 Mbit/s, exchange -> isp 4, exchange -> isp-2 unlimited. One client in isp gets 4,
    the one in isp-2 what is left of the 10: 6."""
    system = shop(
        Link("files", "exchange", rtt_s=0.0002, bandwidth_bps=10e6),
        Link("exchange", "isp", rtt_s=0.001, bandwidth_bps=4e6),
        Link("exchange", "isp-2", rtt_s=0.001, bandwidth_bps=1e9),
    )
    results = together(system, {"size": MEGABYTE * 4 // 10}, {"zone": "isp-2", "size": MEGABYTE * 6 // 10})
    assert [result.done_s for result in results] == pytest.approx([0.8, 0.8], rel=0.02)


def test_directions_do_not_share() -> None:
    """Full duplex: what clients of either zone load from the other goes each its own way."""
    link = Link("exchange", "isp", rtt_s=0.001, bandwidth_bps=10e6)
    system = shop(link, nodes=(("near", "isp"), ("far", "exchange")))

    async def body(session: Session) -> list[float]:
        there = download(session, "a", zone="exchange", node="near")
        back = download(session, "b", zone="isp", node="far")
        return [result.done_s for result in await asyncio.gather(there, back)]

    assert run(system, body) == pytest.approx([0.8, 0.8], rel=0.02)


def test_a_shared_limit_of_a_fault_and_one_for_each_pair() -> None:
    system = shop(Link("exchange", "isp", rtt_s=0.001, bandwidth_bps=1e9))
    path = PathMatch(EndpointMatch(nodes=frozenset({"files"})), EndpointMatch(everything=True))

    def times(*, shared: bool) -> list[float]:
        async def body(session: Session) -> list[float]:
            await session.primitives.shape(path, LinkShape(bandwidth_bps=8e6, shared=shared))
            found = await asyncio.gather(*(download(session, f"c{n}") for n in range(4)))
            return [each.done_s for each in found]

        return run(system, body)

    assert times(shared=False) == pytest.approx([1.0] * 4, rel=0.02)
    assert times(shared=True) == pytest.approx([4.0] * 4, rel=0.02)


def test_a_limit_that_changes_in_the_middle() -> None:
    """1.25 MB/s for 0.4 s is half a megabyte; the rest at a tenth of that takes 4 s; lifted after 2 s of it,
    0.25 MB are left for 0.2 s."""
    system = shop(Link("exchange", "isp", rtt_s=0.001, bandwidth_bps=10e6))
    path = PathMatch(EndpointMatch(nodes=frozenset({"files"})), EndpointMatch(everything=True))

    async def body(session: Session) -> float:
        loading = asyncio.ensure_future(download(session, "c"))
        await session.clock.sleep(0.4)
        applied = await session.primitives.shape(path, LinkShape(bandwidth_bps=1e6))
        await session.clock.sleep(2)
        await applied.undo()
        assert 200_000 < applied.exposure().bytes < 350_000
        return (await loading).done_s

    assert run(system, body) == pytest.approx(0.4 + 2 + 0.2, rel=0.02)


def test_headers_show_before_a_large_body() -> None:
    """They take a packet's time: so a client can tell waiting from downloading, whatever aiohttp makes of a
    response in this release of Python."""
    system = shop(Link("exchange", "isp", rtt_s=0.001, bandwidth_bps=10e6))

    async def body(session: Session) -> tuple[float, float]:
        async with session.client(Client("c", "isp", "any", FAST), "caller") as host:
            start_s = host.clock.now()
            async with host.http("files").get("/", params={"size": MEGABYTE}) as answer:
                headers_s = host.clock.now() - start_s
                await answer.read()
            return headers_s, host.clock.now() - start_s

    assert run(system, body) == (pytest.approx(0.003, abs=0.001), pytest.approx(0.8, rel=0.02))
