"""Processor cores: queueing against theory, limits, pauses, kills, the costs of requests, and what is recorded."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import InvalidInput, InvalidValue
from harness.faults.primitives import HostIdentity
from harness.runtime.contract import NotReady, Session
from harness.runtime.processor import Processor
from harness.sim.loop import SimLoop
from harness.system import Cost, Host, Link, Node, ProcessorSlice, System, Topology
from harness.system.processor import CostTable
from tests.sim.support import CLIENT, Seen, application, run

IDENTITY = HostIdentity("api-1", "api", "here")


def on_processor[T](
    body: Callable[[Processor], Awaitable[T]], cores: int = 1
) -> tuple[T, list[ProcessorSlice]]:
    """What `body` returns in virtual time, and the rows of the processor that it used."""
    loop = SimLoop(1)
    rows: list[ProcessorSlice] = []

    async def main() -> T:
        processor = Processor(IDENTITY, cores, loop, lambda: loop.now_s, rows.append)
        found = await body(processor)
        await asyncio.sleep(1)
        processor.flush()
        return found

    try:
        return loop.run(main()), rows
    finally:
        loop.close()


def waits(processor: Processor, arrivals: Iterator[tuple[float, float]], jobs: int) -> Awaitable[float]:
    """The mean time that jobs wait before they begin. `arrivals`: gaps and service times."""

    async def measure() -> float:
        loop = asyncio.get_running_loop()
        waited = 0.0

        async def job(service_s: float) -> None:
            nonlocal waited
            began_s = loop.time()
            await processor.work(service_s)
            waited += loop.time() - began_s - service_s

        async with asyncio.TaskGroup() as group:
            for _ in range(jobs):
                gap_s, service_s = next(arrivals)
                await asyncio.sleep(gap_s)
                group.create_task(job(service_s))
        return waited / jobs

    return measure()


@pytest.mark.parametrize(
    ("cores", "load", "exponential", "expected"),
    [
        # Mean wait over mean service time: M/D/1 is rho / (2 (1 - rho)); M/M/c is Erlang C over c (1 - rho).
        (1, 0.5, False, 0.5),
        (1, 0.8, False, 2.0),
        (1, 0.5, True, 1.0),
        (2, 0.5, True, 1 / 3),
    ],
)
def test_work_queues_as_the_theory_of_queues_says(
    cores: int, load: float, exponential: bool, expected: float
) -> None:
    rng = random.Random(7)

    def arrivals() -> Iterator[tuple[float, float]]:
        while True:
            yield rng.expovariate(load * cores), rng.expovariate(1.0) if exponential else 1.0

    found, rows = on_processor(lambda processor: waits(processor, arrivals(), 6_000), cores)
    assert found == pytest.approx(expected, rel=0.12)
    assert sum(row.utilisation for row in rows) / len(rows) == pytest.approx(load, rel=0.05)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30)), min_size=1, max_size=12),
    st.integers(1, 3),
)
def test_each_piece_of_work_gets_the_earliest_free_core_in_order_of_arrival(
    jobs: list[tuple[int, int]], cores: int
) -> None:
    async def body(processor: Processor) -> list[float]:
        loop = asyncio.get_running_loop()
        done: list[float] = [0.0] * len(jobs)

        async def job(index: int, seconds: float) -> None:
            await processor.work(seconds)
            done[index] = loop.time()

        async with asyncio.TaskGroup() as group:
            for index, (gap, seconds) in enumerate(jobs):
                await asyncio.sleep(gap)
                group.create_task(job(index, seconds))
        return done

    expected, free, now = [], [0.0] * cores, 0.0
    for gap, seconds in jobs:
        now += gap
        core = min(range(cores), key=free.__getitem__)
        free[core] = max(now, free[core]) + seconds
        expected.append(free[core])
    found, rows = on_processor(body, cores)
    assert found == pytest.approx(expected)
    assert sum(row.utilisation for row in rows if row.t_s + 1 <= now + 1_000) * cores == pytest.approx(
        sum(seconds for _, seconds in jobs)
    )
    assert sum(row.started for row in rows) == len(jobs)


def _ends(*changes: tuple[float, Callable[[Processor], object]]) -> list[float]:
    """When three pieces of work of 2 s each, asked for at 0 s, are done; `changes` happen at their times."""

    async def body(processor: Processor) -> list[float]:
        loop = asyncio.get_running_loop()
        done = []

        async def job() -> None:
            await processor.work(2.0)
            done.append(loop.time())

        for at_s, change in changes:
            loop.call_at(at_s, change, processor)
        tasks = [asyncio.ensure_future(job()) for _ in range(3)]
        await asyncio.wait(tasks, timeout=60)
        for task in tasks:
            task.cancel()
        return done

    return on_processor(body)[0]


def test_a_pause_moves_what_is_under_way_and_what_waits() -> None:
    assert _ends((1, Processor.pause), (11, Processor.resume)) == pytest.approx([12, 14, 16])


def test_a_limit_slows_work_until_it_ends() -> None:
    limits = []
    change = [
        (1.0, lambda processor: limits.append(processor.limit(0.1))),
        (6.0, lambda processor: processor.unlimit(limits[0])),
    ]
    # 1 s of the first is left at 1 s; a tenth of 5 s is done until 6 s.
    assert _ends(*change) == pytest.approx([6.5, 8.5, 10.5])
    assert limits[0].lost_s == pytest.approx(4.5)


def test_the_lowest_of_several_limits_counts() -> None:
    limits = []
    change = [
        (0.0, lambda processor: limits.append(processor.limit(0.5))),
        (2.0, lambda processor: limits.append(processor.limit(0.25))),
        (6.0, lambda processor: processor.unlimit(limits[1])),
        (6.0, lambda processor: processor.unlimit(limits[0])),
    ]
    assert _ends(*change)[0] == pytest.approx(6.0)


def test_a_killed_process_leaves_no_work_behind() -> None:
    assert _ends((1, Processor.clear)) == []


def test_work_cancelled_while_it_waits_is_not_done_and_later_it_is_done_in_vain() -> None:
    async def body(processor: Processor) -> float:
        loop = asyncio.get_running_loop()
        running, waiting = (asyncio.ensure_future(processor.work(4.0)) for _ in range(2))
        last = asyncio.ensure_future(processor.work(1.0))
        await asyncio.sleep(1)
        running.cancel()
        waiting.cancel()
        await last
        return loop.time()

    assert on_processor(body)[0] == pytest.approx(5.0)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_work_takes_a_finite_time(seconds: float) -> None:
    with pytest.raises(InvalidValue):
        on_processor(lambda processor: processor.work(seconds))


def test_rows_say_how_busy_each_second_was() -> None:
    async def body(processor: Processor) -> None:
        await asyncio.sleep(0.5)
        await asyncio.gather(processor.work(1.0), processor.work(0.25))
        await asyncio.sleep(1.25)

    _, rows = on_processor(body)
    rows = rows[:3]
    assert [(row.t_s, row.utilisation, row.started, row.waited_s) for row in rows] == [
        (0.0, pytest.approx(0.5), 1, 0.0),
        (1.0, pytest.approx(0.75), 1, pytest.approx(1.0)),
        (2.0, 0.0, 0, None),
    ]
    assert [row.queue for row in rows] == pytest.approx([0.5, 0.5, 0.0])


# ---------------------------------------------------------------------- costs of requests


async def api(host: Host) -> None:
    app = web.Application()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    app.router.add_get("/home", answer)
    app.router.add_get("/titles/{id}", answer)
    app.router.add_post("/orders", answer)
    await host.serve(app)


def api_system(**node: object) -> System:
    return System(
        "costly",
        Topology(("here",), (Node("api-1", "api", "here", api, **node),), ()),  # type: ignore[arg-type]
        safeguards=(),
        tables={"seen": Seen},
        workloads=(),
    )


def latencies(*requests: tuple[str, str], **node: object) -> list[float]:
    """Of requests one after the other on a connection that is open, in seconds."""

    async def body(session: Session) -> list[float]:
        found = []
        async with session.client(CLIENT, "caller") as host:
            for method, path in (("GET", "/other"), *requests):
                began_s = host.clock.now()
                async with host.http("api").request(method, path) as answer:
                    await answer.read()
                found.append(host.clock.now() - began_s)
        return found[1:]

    return run(api_system(**node), body)


def test_costs_are_charged_by_route() -> None:
    costs = {"GET /home": "8ms", "GET /titles/{id}": "20ms", "POST /o*": "50ms"}
    requests = (("GET", "/home"), ("GET", "/titles/7"), ("POST", "/orders"), ("GET", "/other"))
    free = latencies(*requests)
    assert [a - b for a, b in zip(latencies(*requests, costs=costs), free, strict=True)] == pytest.approx(
        [0.008, 0.020, 0.050, 0.0], abs=1e-9
    )


def test_a_core_serves_what_it_can_and_no_more() -> None:
    """5 ms a request: 200/s of each core. At 400/s a single one falls behind by a second every second."""

    async def body(session: Session) -> float:
        async with session.client(CLIENT, "caller") as host, asyncio.TaskGroup() as group:
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector) as http:

                async def one() -> None:
                    async with http.get("http://api/home") as answer:
                        await answer.read()

                tasks = []
                for _ in range(800):
                    tasks.append(group.create_task(one()))
                    await host.clock.sleep(1 / 400)
                await asyncio.wait(tasks)
            return host.clock.now()

    assert run(api_system(costs={"*": "5ms"}), body) == pytest.approx(4.0, abs=0.1)
    assert run(api_system(costs={"*": "5ms"}, cores=2), body) == pytest.approx(2.0, abs=0.1)


def test_log_normal_costs_have_their_median_and_99th_percentile() -> None:
    draws = sorted(
        next(draw) for draw in [Cost("5ms", p99="40ms").sampler(random.Random(1))] for _ in range(20_000)
    )
    assert draws[10_000] == pytest.approx(0.005, rel=0.03)
    assert draws[19_800] == pytest.approx(0.040, rel=0.08)
    assert sum(draws) / len(draws) == pytest.approx(Cost("5ms", p99="40ms").mean_s, rel=0.03)


def test_the_first_cost_that_fits_counts_and_exact_ones_before_patterns() -> None:
    table = CostTable({"*": "1ms", "* /a*": "2ms", "GET /ab": "3ms"})
    assert table.find("GET", "/ab") == Cost("3ms")
    assert table.find("GET", "/zz") == Cost("1ms")
    assert CostTable({"GET /a": "1ms"}).find("POST", "/a") is None


def test_costs_that_are_not_valid_are_told_all_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        api_system(costs={"home": "8ms", "GET /home": "8", "*": "0s"}, cores=0)
    assert len(caught.value.diagnostics) == 4


def test_costs_of_a_route_that_the_application_does_not_have_are_an_error() -> None:
    async def body(session: Session) -> None:
        pass

    with pytest.raises(NotReady, match="GET /hom"):
        run(api_system(costs={"GET /hom": "8ms"}), body)


async def worker(host: Host) -> None:
    async def answer(_: web.Request) -> web.Response:
        await host.work(0.1)
        return web.Response()

    await host.serve(application(answer))


def test_cpu_limit_and_kill_act_on_the_work_of_a_node() -> None:
    system = System(
        "tiny",
        Topology(("here",), (Node("api-1", "api", "here", worker),), (Link("api-1", "here", 0.001, 1e9),)),
        safeguards=(),
        tables={"seen": Seen},
        workloads=(),
    )

    async def body(session: Session) -> tuple[float, int]:
        async with session.client(CLIENT, "caller") as host:
            limit = await session.primitives.cpu_limit("api-1", 10)
            began_s = host.clock.now()
            async with host.http("api").get("/") as answer:
                await answer.read()
            limited_s = host.clock.now() - began_s
            await limit.undo()
            return limited_s, limit.exposure().throttled_ms

    limited_s, throttled_ms = run(system, body)
    assert limited_s == pytest.approx(1.0, abs=0.1)
    assert throttled_ms == pytest.approx(900, abs=1)


def test_work_that_cannot_begin_in_time_is_given_up_and_costs_nothing() -> None:
    async def body(processor: Processor) -> list[str]:
        loop = asyncio.get_running_loop()
        ended: list[str] = []

        async def job(name: str, seconds: float, within_s: float | None) -> None:
            try:
                await processor.work(seconds, start_within_s=within_s)
                ended.append(f"{name} done at {loop.time():.1f}")
            except TimeoutError:
                ended.append(f"{name} given up at {loop.time():.1f}")

        await asyncio.gather(
            job("first", 1.0, 0.0), job("late", 1.0, 0.5), job("patient", 1.0, 1.5), job("past", 1.0, -0.1)
        )
        return ended

    ended, rows = on_processor(body)
    assert ended == [
        "past given up at 0.0",
        "late given up at 0.5",
        "first done at 1.0",
        "patient done at 2.0",
    ]
    assert sum(row.utilisation for row in rows) == pytest.approx(2.0)
