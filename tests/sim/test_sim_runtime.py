"""The runtime in virtual time: coming up, clients, failures, the end, and the same run every time."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import subprocess
import sys
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from harness.experiment.load import Load
from harness.faults.primitives import EndpointMatch, HttpRule, LinkShape, PathMatch
from harness.runtime.contract import LeftBehind, NotReady, RunSettings, Session
from harness.runtime.host import HostError
from harness.sim.runtime import SimRuntime
from harness.sim.threads import VirtualTimeError
from harness.system import Access, Client, Event, Host
from harness.workload.driver import Driver
from tests.sim.support import ACCESS, CLIENT, Seen, application, call, hello, make_system, run, saw
from tests.support import toy_system
from tests.support.toy_system import Visit


def toy[T](
    body: Callable[[Session], Awaitable[T]], *, seed: int = 7, without: frozenset[str] = frozenset()
) -> T:
    return SimRuntime().run(RunSettings(toy_system.system, seed, without), body)


def load(rate: str = "2/s", for_: str = "20s") -> dict[str, Load]:
    return {"shoppers": Load.model_validate({"arrive": rate, "for": for_, "mix": "all"})}


async def _visits_with_backends_killed(session: Session) -> list[Visit]:
    async def faults() -> None:
        await session.clock.sleep(10)
        killed = [await session.primitives.kill(name) for name in ("backend-east", "backend-west")]
        await session.clock.sleep(10)
        for each in killed:
            assert each.exposure().touched
            await each.undo()

    injected = asyncio.ensure_future(faults())
    driven = await Driver(session, toy_system.system, load(), seed=7, drain_s=30).run()
    await injected
    assert driven.arrived == driven.left > 20
    assert not driven.failures
    assert not session.failures
    visits = [record.row for record in session.records if isinstance(record.row, Visit)]
    assert len(visits) == driven.arrived * 10
    return visits


# ---------------------------------------------------------------------- a whole system


def test_all_shoppers_are_served() -> None:
    visits = toy(_visits_with_backends_killed)
    assert all(visit.ok for visit in visits)
    fallback = [visit.t_s for visit in visits if visit.source == "fallback"]
    assert fallback
    assert all(10 <= t_s < 20.5 for t_s in fallback)


def test_without_its_safeguard_they_are_not() -> None:
    visits = toy(_visits_with_backends_killed, without=frozenset({"gateway.fallback"}))
    lost = [visit.t_s for visit in visits if not visit.ok]
    assert lost
    assert all(10 <= t_s < 20.5 for t_s in lost)


def test_an_unknown_safeguard_is_refused() -> None:
    async def body(session: Session) -> None:
        raise AssertionError("never started")

    with pytest.raises(ValueError, match=r"gateway\.retri .*gateway\.retry"):
        toy(body, without=frozenset({"gateway.retri"}))


# ---------------------------------------------------------------------- coming up


def test_run_time_begins_when_all_nodes_are_ready() -> None:
    async def slow(host: Host) -> None:
        saw(host, host.clock.now())
        await host.clock.sleep(3)
        await host.serve(web.Application())

    async def body(session: Session) -> tuple[float, list[float]]:
        return session.clock.now(), [record.t_s for record in session.records]

    assert run(make_system({"slow": slow, "hello": hello}), body) == (0.0, [-5.0])


def test_every_node_that_does_not_come_up_is_named() -> None:
    async def raises(host: Host) -> None:
        raise ValueError("no such table")

    async def returns(host: Host) -> None:
        return

    async def never(host: Host) -> None:
        await asyncio.Event().wait()

    async def body(session: Session) -> None:
        raise AssertionError("never started")

    services = {"hello": hello, "raises": raises, "returns": returns, "never": never}
    with pytest.raises(NotReady) as caught:
        run(make_system(services), body)
    said = str(caught.value)
    assert "3 of 4 nodes" in said
    assert "raises: ValueError: no such table (tests/sim/test_sim_runtime.py:" in said
    assert "returns: its service returned" in said
    assert "never: it did not listen within 5 s" in said


def test_a_service_that_ends_unasked_is_a_failure() -> None:
    async def ok(_: web.Request) -> web.Response:
        return web.Response()

    async def tired(host: Host) -> None:
        serving = asyncio.ensure_future(host.serve(application(ok)))
        await host.clock.sleep(9)
        serving.cancel()
        raise RuntimeError("tired")

    async def body(session: Session) -> None:
        async with session.client(CLIENT, "caller") as host:
            async with host.http("tired").get("/") as answer:
                assert answer.status == 200
            await host.clock.sleep(6)
            # A process that ended closed its sockets.
            with pytest.raises(aiohttp.ClientConnectorError):
                await host.http("tired").get("/")
        assert [(f.host, f.t_s) for f in session.failures] == [("tired", 4.0)]
        assert "RuntimeError: tired" in session.failures[0].error

    run(make_system({"tired": tired}), body)


# ---------------------------------------------------------------------- hosts


def test_what_a_host_knows() -> None:
    async def service(host: Host) -> None:
        saw(host, (host.name, host.role, host.zone, host.group, dict(host.config), host.safeguard("belt")))
        with pytest.raises(HostError, match=r"no safeguard 'bel'.*belt, braces"):
            host.safeguard("bel")
        with pytest.raises(HostError, match=r"no role or node .* it has .*did you mean 'hello'"):
            host.http("helo")
        assert host.topology.node("node-1").config is host.config
        assert isinstance(host, Host)
        await host.serve(web.Application())

    async def body(session: Session) -> list[str]:
        client = Client("c", "there", "slow", ACCESS, {"x": 1})
        async with session.client(client, "caller") as host:
            braces = host.safeguard("braces")
            saw(host, (host.name, host.role, host.zone, host.group, dict(host.config), braces))
            assert host.clock.wall().isoformat() == "2026-01-01T00:00:05+00:00"
            with pytest.raises(HostError, match="only nodes"):
                await host.serve(web.Application())
        assert [failure.host for failure in session.failures] == ["node-1", "node-1", "c"]
        return [record.row.what for record in session.records if isinstance(record.row, Seen)]

    system = make_system({"node-1": service, "hello": hello}, **{"node-1": {"size": 3}})
    assert run(system, body, without=frozenset({"belt"})) == [
        "('node-1', 'node', 'here', None, {'size': 3}, False)",
        "('c', 'caller', 'there', 'slow', {'x': 1}, True)",
    ]


def test_disks_outlive_a_restart_and_random_streams_do_not_repeat() -> None:
    async def service(host: Host) -> None:
        count = len(await host.disk.read("starts") or b"")
        await host.disk.write("starts", b"x" * (count + 1))
        saw(host, count)
        saw(host, host.rng.random())
        await host.serve(web.Application())

    async def body(session: Session) -> list[str]:
        await (await session.primitives.kill("one")).undo()
        await (await session.primitives.power_off("one")).undo()
        return [record.row.what for record in session.records if isinstance(record.row, Seen)]

    seen = run(make_system({"one": service}), body)
    assert seen[::2] == ["0", "1", "2"]
    assert len(set(seen[1::2])) == 3


def test_undeclared_rows_are_failures_once_for_a_place() -> None:
    async def life(host: Host) -> None:
        for _ in range(3):
            host.emit(Event("known"))
            host.emit(Event("unknown"))
            host.emit("a string")

    outcome = call(life)
    assert len(outcome.records) == 3
    assert [failure.host for failure in outcome.failures] == ["caller", "caller"]
    assert "event 'unknown'" in outcome.failures[0].error
    assert "declared: known" in outcome.failures[0].error
    assert "emitted a str" in outcome.failures[1].error
    assert "seen (Seen)" in outcome.failures[1].error


def test_errors_in_the_background_are_counted_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    async def faulty(host: Host) -> None:
        async def answer(_: web.Request) -> web.Response:
            raise ZeroDivisionError("in the handler")

        async def in_background() -> None:
            raise ZeroDivisionError("in the background")

        asyncio.ensure_future(in_background())  # noqa: RUF006
        await host.serve(application(answer))

    async def life(host: Host) -> None:
        for _ in range(2):
            async with host.http("faulty").get("/") as answer:
                assert answer.status == 500

    counts = call(life, {"faulty": faulty}).statistics["unhandled_errors"]
    assert sorted(counts.values()) == [1, 2]
    assert all(said.startswith("faulty: ") and "ZeroDivisionError: in the" in said for said in counts)
    assert capfd.readouterr() == ("", "")


def test_an_application_is_served_once() -> None:
    app = web.Application()

    async def service(host: Host) -> None:
        await host.serve(app)

    async def body(session: Session) -> None:
        raise AssertionError

    with pytest.raises(NotReady, match="make a new one in the service function"):
        run(make_system({"one": service, "two": service}), body)


# ---------------------------------------------------------------------- clients


def test_a_client_leaves_nothing_behind() -> None:
    freed: list[weakref.ref[object]] = []

    async def body(session: Session) -> None:
        for _ in range(3):
            async with session.client(CLIENT, "caller") as host:
                freed.append(weakref.ref(host))
                async with host.http("hello").get("/") as answer:
                    await answer.read()
                asyncio.ensure_future(host.clock.sleep(1000))  # noqa: RUF006 (dies with the client)
            del host, answer
            await session.clock.sleep(0)
        before = len(asyncio.all_tasks())
        await session.clock.sleep(1)
        assert len(asyncio.all_tasks()) <= before
        gc.collect()
        assert [reference() for reference in freed] == [None] * 3

    run(make_system(), body)


def test_client_names_and_zones_are_checked() -> None:
    async def body(session: Session) -> None:
        async with session.client(CLIENT, "caller"):
            with pytest.raises(ValueError, match="'caller' already"):
                await session.client(CLIENT, "caller").__aenter__()
        with pytest.raises(ValueError, match="zone 'nowhere'; there are here, there"):
            await session.client(Client("c", "nowhere", "g", ACCESS), "caller").__aenter__()

    run(make_system(), body)


def test_the_access_link_is_the_clients_own() -> None:
    async def big(host: Host) -> None:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(body=b"x" * 1_000_000)

        await host.serve(application(answer))

    async def body(session: Session) -> float:
        access = Access(down_bps=8e6, up_bps=8e6, rtt_s=0.02)
        async with session.client(Client("c", "here", "g", access), "caller") as host:
            async with host.http("big").get("/") as answer:
                await answer.read()
            return host.clock.now()

    assert run(make_system({"big": big}), body) == pytest.approx(1.0 + 2 * 0.02, rel=0.01)


# ---------------------------------------------------------------------- the end


def test_what_the_body_raises_comes_out_and_the_next_run_is_clean() -> None:
    async def body(session: Session) -> None:
        await session.clock.sleep(3)
        raise LookupError("in the body")

    with pytest.raises(LookupError, match="in the body"):
        run(make_system(), body)
    test_run_time_begins_when_all_nodes_are_ready()


def test_a_run_that_can_never_go_on_is_an_error() -> None:
    async def body(session: Session) -> None:
        await asyncio.Event().wait()

    with pytest.raises(VirtualTimeError, match="nothing will happen any more"):
        run(make_system(), body)


def test_a_task_that_does_not_end_is_reported() -> None:
    async def stubborn(host: Host) -> None:
        async def holds_on() -> None:
            while host.clock.now() < 100:
                try:
                    await host.clock.sleep(1000)
                except asyncio.CancelledError:
                    continue

        host_task = asyncio.get_running_loop().create_task(holds_on(), name="holds on")
        await host.serve(web.Application())
        await host_task

    async def body(session: Session) -> None:
        pass

    with pytest.raises(LeftBehind, match=r"1 tasks go on .*: holds on"):
        run(make_system({"stubborn": stubborn}), body)


# ---------------------------------------------------------------------- the same every time


def _eventful(seed: int) -> str:
    """The hash of all that an eventful run of the toy system reports."""

    async def body(session: Session) -> str:
        everything = EndpointMatch(everything=True)
        backends = EndpointMatch(nodes=frozenset({"backend-east"}))
        primitives = session.primitives

        async def faults() -> None:
            await session.clock.sleep(5)
            applied = [
                await primitives.shape(
                    PathMatch(everything, backends), LinkShape(latency_s=0.1, jitter_s=0.05, loss=0.02)
                ),
                await primitives.interfere("gateway-west", HttpRule(probability=0.3, delay_s=0.2)),
                await primitives.pause("backend-west"),
            ]
            await session.clock.sleep(3)
            await primitives.reset(PathMatch(everything, everything))
            applied.append(await primitives.kill("backend-east"))
            await session.clock.sleep(3)
            applied.append(await primitives.power_off("gateway-east"))
            await session.clock.sleep(5)
            for each in applied:
                await each.undo()

        injected = asyncio.ensure_future(faults())
        await Driver(session, toy_system.system, load("3/s"), seed=seed, drain_s=30).run()
        await injected
        reported = (session.records, session.failures, session.statistics())
        return hashlib.sha256(repr(reported).encode()).hexdigest()

    return toy(body, seed=seed)


def test_the_same_seed_gives_the_same_run_in_one_process() -> None:
    first = _eventful(3)
    ballast = [object() for _ in range(12345)]
    assert _eventful(4) != first
    del ballast
    assert _eventful(3) == first


def test_the_same_seed_gives_the_same_run_in_every_process() -> None:
    root = Path(__file__).parents[2]
    code = "from tests.sim.test_sim_runtime import _eventful; print(_eventful(3))"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("0", "1", "42")
    ]
    printed = [process.communicate()[0].strip() for process in running]
    assert printed == [_eventful(3)] * 3
