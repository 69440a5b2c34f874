"""Each primitive in virtual time: its effect, its undo, and what it says that it touched."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web

from harness.faults.exposure import Exposure
from harness.faults.primitives import (
    Applied,
    ClientMatch,
    EndpointMatch,
    FaultFailed,
    HttpRule,
    LinkShape,
    PathMatch,
    Primitives,
)
from harness.runtime.contract import Session
from harness.system import Host, Service
from tests.sim.support import CLIENT, application, hello, make_system, run, saw

TO_HELLO = PathMatch(EndpointMatch(clients=ClientMatch()), EndpointMatch(nodes=frozenset({"hello"})))


async def get(host: Host, dependency: str = "hello", *, within_s: float = 1000) -> tuple[str, float]:
    """What came of a request, and how long it took."""
    start_s = host.clock.now()
    try:
        async with host.http(dependency).get("/x", timeout=aiohttp.ClientTimeout(total=within_s)) as answer:
            said = f"{answer.status} {await answer.text()}" if answer.status == 200 else str(answer.status)
    except (aiohttp.ClientError, TimeoutError) as error:
        said = type(error).__name__
    return said, round(host.clock.now() - start_s, 3)


def during(
    body: Callable[[Primitives, Host], Awaitable[None]], services: Mapping[str, Service] | None = None
) -> None:
    """Run `body` with a client that has one connection open, unless it is the service that says otherwise."""

    async def with_client(session: Session) -> None:
        async with session.client(CLIENT, "caller") as host:
            await body(session.primitives, host)
        assert not session.failures

    run(make_system(services), with_client)


def test_shape_slows_and_undo_ends_it() -> None:
    async def body(primitives: Primitives, host: Host) -> None:
        first = await get(host)
        applied = await primitives.shape(TO_HELLO, LinkShape(latency_s=0.5))
        slow = await get(host)
        touched = applied.exposure()
        await applied.undo()
        await applied.undo()
        assert slow[1] == pytest.approx(first[1] - 0.02 + 0.5, abs=0.002)  # no connect, one way slower
        assert (await get(host))[1] < first[1]
        assert touched.connections == 1
        assert touched.bytes > 50
        assert applied.exposure() == touched

    during(body)


def test_a_fault_that_nobody_meets_touches_nothing() -> None:
    async def body(primitives: Primitives, host: Host) -> None:
        nowhere = PathMatch(EndpointMatch(nodes=frozenset({"other"})), EndpointMatch(everything=True))
        applied = [
            await primitives.shape(nowhere, LinkShape(latency_s=0.5)),
            await primitives.cut(nowhere),
            await primitives.reset(nowhere),
            await primitives.interfere("hello", HttpRule(route="/other", status=500)),
            await primitives.interfere("hello", HttpRule(method="POST", status=500)),
        ]
        assert (await get(host))[0] == "200 hello"
        assert [each.exposure() for each in applied] == [Exposure()] * 5
        for each in (
            await primitives.kill("idle"),
            await primitives.power_off("idle"),
            await primitives.pause("idle"),
        ):
            assert not each.exposure().touched
            await each.undo()

    during(body, {"hello": hello, "idle": hello})


def test_cut_is_silence_until_it_heals() -> None:
    async def body(primitives: Primitives, host: Host) -> None:
        await get(host)
        applied = await primitives.cut(TO_HELLO)
        assert await get(host, within_s=3) == ("TimeoutError", 3.0)
        asked = asyncio.ensure_future(get(host))
        await host.clock.sleep(10)
        await applied.undo()
        said, took_s = await asked
        assert said == "200 hello"
        assert 10 < took_s < 25
        exposure = applied.exposure()
        assert exposure.connections >= 1
        assert exposure.connects_blocked >= 1

    during(body)


def test_reset_breaks_connections_of_either_side() -> None:
    async def slow(host: Host) -> None:
        async def answer(_: web.Request) -> web.Response:
            await host.clock.sleep(10)
            return web.Response()

        await host.serve(application(answer))

    async def body(primitives: Primitives, host: Host) -> None:
        path = PathMatch(EndpointMatch(nodes=frozenset({"slow"})), EndpointMatch(everything=True))
        asked = asyncio.ensure_future(host.http("slow").post("/x"))
        await host.clock.sleep(1)
        applied = await primitives.reset(path)
        with pytest.raises(aiohttp.ClientConnectionError):
            await asked
        assert applied.exposure() == Exposure(connections=1, resets=1)
        await applied.undo()

    during(body, {"slow": slow})


def test_kill_resets_and_refuses_until_it_is_started() -> None:
    async def body(primitives: Primitives, host: Host) -> None:
        await get(host)
        applied = await primitives.kill("hello")
        said, took_s = await get(host)
        assert said == "ClientConnectorError"
        assert took_s < 0.05
        await applied.undo()
        assert (await get(host))[0] == "200 hello"
        exposure = applied.exposure()
        # The bytes are those of a request that met the reset on its way.
        assert replace(exposure, bytes=0) == Exposure(connections=1, resets=1, connects_blocked=1)
        await applied.undo()
        assert (await get(host))[0] == "200 hello"
        assert applied.exposure() == exposure

    during(body)


def test_power_off_is_silence_and_a_stale_connection_is_reset_afterwards() -> None:
    async def body(primitives: Primitives, host: Host) -> None:
        await get(host)
        applied = await primitives.power_off("hello")
        assert await get(host, within_s=3) == ("TimeoutError", 3.0)
        assert await get(host, within_s=3) == ("TimeoutError", 3.0)
        exposure = applied.exposure()
        assert exposure.connections == 1
        assert exposure.connects_blocked >= 1
        await applied.undo()
        await host.clock.sleep(30)
        assert (await get(host))[0] == "200 hello"

    during(body)


def test_pause_holds_what_comes_and_undo_goes_on() -> None:
    async def body(primitives: Primitives, host: Host) -> None:
        await get(host)
        applied = await primitives.pause("hello")
        asked = [asyncio.ensure_future(get(host)) for _ in range(2)]
        await host.clock.sleep(5)
        assert not any(task.done() for task in asked)
        await applied.undo()
        answers = [await task for task in asked]
        assert [said for said, _ in answers] == ["200 hello"] * 2
        assert all(5 < took_s < 5.2 for _, took_s in answers)
        assert applied.exposure().connections == 2

    during(body)


def test_start_is_for_nodes_that_are_down() -> None:
    async def body(primitives: Primitives, host: Host) -> None:
        await primitives.start("hello")
        killed = await primitives.kill("hello")
        await primitives.start("hello")
        assert (await get(host))[0] == "200 hello"
        await killed.undo()
        assert (await get(host))[0] == "200 hello"

    during(body)


@pytest.mark.parametrize("first", ["kill", "power_off"])
@pytest.mark.parametrize("second", ["kill", "power_off"])
def test_a_node_runs_again_when_the_last_fault_on_it_ends(first: str, second: str) -> None:
    async def body(primitives: Primitives, host: Host) -> None:
        one: Applied = await getattr(primitives, first)("hello")
        two: Applied = await getattr(primitives, second)("hello")
        await one.undo()
        said, _ = await get(host, within_s=2)
        assert said == ("ClientConnectorError" if second == "kill" else "TimeoutError")
        await two.undo()
        assert (await get(host, within_s=2))[0] == "200 hello"

    during(body)


def test_two_pauses_overlap() -> None:
    async def body(primitives: Primitives, host: Host) -> None:
        one, two = await primitives.pause("hello"), await primitives.pause("hello")
        await one.undo()
        assert (await get(host, within_s=2))[0] == "TimeoutError"
        await two.undo()
        assert (await get(host, within_s=2))[0] == "200 hello"

    during(body)


def test_a_paused_process_that_is_killed_is_not_paused_any_more() -> None:
    async def body(primitives: Primitives, host: Host) -> None:
        paused = await primitives.pause("hello")
        killed = await primitives.kill("hello")
        assert (await get(host))[0] == "ClientConnectorError"
        await killed.undo()
        assert (await get(host, within_s=2))[0] == "200 hello"
        await paused.undo()
        assert (await get(host, within_s=2))[0] == "200 hello"

    during(body)


# ---------------------------------------------------------------------- HTTP


def test_interfere_answers_instead_of_the_service() -> None:
    async def body(primitives: Primitives, host: Host) -> None:
        applied = await primitives.interfere("hello", HttpRule(route="/x*", method="GET", status=503))
        assert (await get(host))[0] == "503"
        assert applied.exposure() == Exposure(requests=1)
        await applied.undo()
        await applied.undo()
        assert (await get(host))[0] == "200 hello"
        assert applied.exposure() == Exposure(requests=1)

    during(body)


def test_delays_add_up_and_the_first_status_answers() -> None:
    async def body(primitives: Primitives, host: Host) -> None:
        await get(host)
        delay = await primitives.interfere("hello", HttpRule(delay_s=1))
        first = await primitives.interfere("hello", HttpRule(delay_s=2, status=500))
        last = await primitives.interfere("hello", HttpRule(status=501))
        said, took_s = await get(host)
        assert said == "500"
        assert took_s == pytest.approx(3.02, abs=0.005)
        assert [each.exposure() for each in (delay, first)] == [Exposure(requests=1)] * 2
        assert last.exposure() == Exposure(), "another fault hides it"

    during(body)


def test_interference_outlives_a_restart() -> None:
    async def body(primitives: Primitives, host: Host) -> None:
        await primitives.interfere("hello", HttpRule(status=500))
        await (await primitives.kill("hello")).undo()
        assert (await get(host))[0] == "500"

    during(body)


def test_a_share_of_the_requests_from_a_stream_of_its_own() -> None:
    def statuses(*, also: bool) -> list[str]:
        found: list[str] = []

        async def body(primitives: Primitives, host: Host) -> None:
            if also:
                await primitives.interfere("hello", HttpRule(route="/other", probability=0.5, status=404))
                await primitives.interfere("hello", HttpRule(delay_s=0.001, probability=0.5))
            applied = await primitives.interfere("hello", HttpRule(probability=0.25, status=500))
            found.extend([(await get(host))[0] for _ in range(200)])
            assert applied.exposure().requests == found.count("500")

        during(body)
        return found

    alone = statuses(also=False)
    assert 25 <= alone.count("500") <= 75
    assert statuses(also=True) == alone


# ---------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("name", ["kill", "power_off", "pause", "start", "interfere"])
def test_an_unknown_node(name: str) -> None:
    async def body(primitives: Primitives, host: Host) -> None:
        arguments = (HttpRule(),) if name == "interfere" else ()
        with pytest.raises(FaultFailed, match="no node 'helo'; there are hello"):
            await getattr(primitives, name)("helo", *arguments)

    during(body)


def test_a_node_that_does_not_come_up_again() -> None:
    async def once(host: Host) -> None:
        if await host.disk.read("ran") is not None:
            raise OSError("the disk is full")
        await host.disk.write("ran", b"yes")
        await host.serve(web.Application())

    async def body(session: Session) -> None:
        killed = await session.primitives.kill("once")
        with pytest.raises(FaultFailed, match=r"once did not start again: OSError: the disk is full"):
            await killed.undo()
        assert [failure.host for failure in session.failures] == ["once"]

    run(make_system({"once": once}), body)


def test_a_node_that_never_listens_again() -> None:
    async def once(host: Host) -> None:
        if await host.disk.read("ran") is not None:
            await host.clock.sleep(10_000)
        await host.disk.write("ran", b"yes")
        await host.serve(web.Application())

    async def body(session: Session) -> None:
        killed = await session.primitives.kill("once")
        with pytest.raises(FaultFailed, match=r"did not listen within 60 s"):
            await killed.undo()

    run(make_system({"once": once}), body)


def test_a_node_killed_while_it_starts_again() -> None:
    async def slow_to_start(host: Host) -> None:
        await host.clock.sleep(2)
        await host.serve(web.Application())

    async def body(session: Session) -> None:
        primitives = session.primitives
        first = await primitives.kill("slow")
        undone = asyncio.ensure_future(first.undo())
        await session.clock.sleep(1)
        second = await primitives.kill("slow")
        with pytest.raises(FaultFailed, match="stopped before it listened"):
            await undone
        await second.undo()
        assert not session.failures

    run(make_system({"slow": slow_to_start}), body)


def test_nothing_of_a_killed_process_goes_on() -> None:
    async def busy(host: Host) -> None:
        async def work() -> None:
            while True:
                with suppress(asyncio.CancelledError):
                    await host.clock.sleep(1)
                saw(host, "works")
                await host.disk.write("worked", b"yes")
                if host.clock.now() > 40:
                    return

        host_work = asyncio.ensure_future(work())
        await host.serve(web.Application())
        await host_work

    async def body(session: Session) -> None:
        await session.clock.sleep(5)
        await session.primitives.kill("busy")
        at_kill = len(session.records)
        await session.clock.sleep(60)
        assert at_kill == len(session.records) == 9

    run(make_system({"busy": busy}), body)


def test_the_handlers_of_a_killed_process_die_with_it() -> None:
    """aiohttp makes their tasks itself, past the loop; one may wait for ever, or work in a circle."""

    async def busy(host: Host) -> None:
        async def answer(_: web.Request) -> web.Response:
            while True:
                await host.clock.sleep(1)

        await host.serve(application(answer))

    async def body(primitives: Primitives, host: Host) -> None:
        asked = [asyncio.ensure_future(get(host, "busy")) for _ in range(5)]
        await host.clock.sleep(5)
        killed = await primitives.kill("busy")
        assert {said for said, _ in await asyncio.gather(*asked)} == {"ClientConnectorError"}
        await host.clock.sleep(5)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await killed.undo()

    during(body, {"busy": busy})
