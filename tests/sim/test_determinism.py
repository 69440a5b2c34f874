"""Each source of difference between two runs of one seed in one process, and its cure."""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import os
import random
import secrets
import socket
import sys
import time
import uuid
import weakref
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta, timezone
from time import monotonic  # noqa: TID251

import aiohttp
import aiohttp.connector
import aiohttp.helpers
import numpy
import pybreaker
import pytest
from aiohttp import web

from harness.runtime.contract import Session
from harness.sim.determinism import Collector
from harness.sim.patching import DeterminismError
from harness.system import Host
from tests.sim.support import CLIENT, application, call, hello, make_system, run, saw

RUNS = 6


def same(life: Callable[[Host], Awaitable[None]], services: dict[str, object] | None = None) -> list[str]:
    """Run it a few times, with other things in memory each time: all runs must be equal."""
    ballast = []
    outcomes = []
    for index in range(RUNS):
        ballast.append([object() for _ in range(97 * index)])
        outcomes.append(call(life, services))  # type: ignore[arg-type]
    assert {outcome.digest for outcome in outcomes} == {outcomes[0].digest}
    assert outcomes[0].seen
    assert not outcomes[0].statistics["unhandled_errors"]
    return outcomes[0].seen


# ---------------------------------------------------------------------- orders


async def _crowd(host: Host) -> None:
    """Forty requests to two hosts over four connections."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=4)) as session:

        async def one(index: int) -> None:
            async with session.get(f"http://hello-{1 + index % 2}/") as answer:
                saw(host, f"{index} {await answer.text()}")

        await asyncio.gather(*(one(index) for index in range(40)))


def test_waiting_for_a_connection() -> None:
    same(_crowd, {"hello-1": hello, "hello-2": hello})


def test_the_order_depends_on_the_seed_only() -> None:
    services = {"hello-1": hello, "hello-2": hello}
    assert len({tuple(call(_crowd, services, seed=seed).seen) for seed in range(4)}) > 1


def test_a_task_group_cancels_in_order() -> None:
    async def life(host: Host) -> None:
        async def child(index: int) -> None:
            try:
                await host.clock.sleep(60)
            finally:
                saw(host, index)

        async def fails() -> None:
            await host.clock.sleep(1)
            raise ValueError

        async def aborted() -> None:
            async with asyncio.TaskGroup() as group:
                for index in range(30):
                    group.create_task(child(index))
                group.create_task(fails())

        with pytest.raises(ExceptionGroup):
            await aborted()

    seen = same(life)
    assert sorted(map(int, seen)) == list(range(30))


def test_what_is_done_and_what_completes_come_in_order() -> None:
    async def life(host: Host) -> None:
        async def child(index: int) -> int:
            saw(host, f"begins {index}")
            await host.clock.sleep(1)
            return index

        done, _ = await asyncio.wait([asyncio.ensure_future(child(index)) for index in range(30)])
        saw(host, [task.result() for task in done])
        saw(host, [await each for each in asyncio.as_completed([child(index) for index in range(30)])])
        if sys.version_info >= (3, 13):
            async for each in asyncio.as_completed(
                [asyncio.ensure_future(child(index)) for index in range(5)]
            ):
                saw(host, await each)
        # As aiohttp does, past the loop's task factory.
        own = {asyncio.Task(child(index), name=str(index)) for index in range(30)}
        await asyncio.wait(own)
        saw(host, [task.get_name() for task in own])

    seen = same(life)
    # Coroutines become tasks in the order in which they were given.
    assert seen[31:61] == [f"begins {index}" for index in range(30)]


def test_closing_a_session_breaks_its_connections_in_order() -> None:
    async def slow(host: Host) -> None:
        async def answer(request: web.Request) -> web.Response:
            try:
                await host.clock.sleep(60)
            finally:
                saw(host, request.path)
            return web.Response()

        app = application(answer)
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, port=8080).start()
        await host.serve(web.Application())

    async def life(host: Host) -> None:
        session = aiohttp.ClientSession()
        tasks = [asyncio.ensure_future(session.get(f"http://slow:8080/{index}")) for index in range(30)]
        await host.clock.sleep(1)
        saw(host, "closes")
        await session.close()
        await host.clock.sleep(1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    seen = same(life, {"slow": slow})
    assert sorted(seen[1:]) == sorted(f"/{index}" for index in range(30))


def test_a_broadcast_to_a_set_of_web_sockets_has_an_order() -> None:
    """The pattern of aiohttp's documentation."""

    async def hub(host: Host) -> None:
        sockets: weakref.WeakSet[web.WebSocketResponse] = weakref.WeakSet()

        async def answer(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            sockets.add(socket)
            async for _ in socket:
                for number, one in enumerate(set(sockets)):
                    await one.send_str(str(number))
            return socket

        await host.serve(application(answer))

    async def life(host: Host) -> None:
        channels = [await host.http("hub").ws_connect("/") for _ in range(20)]
        await channels[0].send_str("go")
        saw(host, [await channel.receive_str() for channel in channels])

    same(life, {"hub": hub})


def test_names_are_resolved_by_the_simulated_network_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiohttp takes another resolver, with threads of its own, where aiodns is installed."""
    monkeypatch.setattr(aiohttp.connector, "DefaultResolver", None)
    same(_crowd, {"hello-1": hello, "hello-2": hello})


# ---------------------------------------------------------------------- clocks


def test_idle_connections_expire_in_virtual_time() -> None:
    async def life(host: Host) -> None:
        for pause_s in (5, 30, 0):
            async with host.http("hello").get("/") as answer:
                saw(host, answer.headers["Date"])
            await host.clock.sleep(pause_s)

    outcomes = [call(life) for _ in range(2)]
    assert [outcome.statistics["connections"] for outcome in outcomes] == [2, 2]
    assert outcomes[0].seen == [f"Thu, 01 Jan 2026 00:00:{second} GMT" for second in ("05", "10", "40")]
    assert outcomes[0].seen == outcomes[1].seen


def test_timeouts_are_exact_whoever_sets_them() -> None:
    async def silent(host: Host) -> None:
        async def answer(_: web.Request) -> web.Response:
            await host.clock.sleep(1000)
            return web.Response()

        await host.serve(application(answer))

    async def life(host: Host) -> None:
        await host.clock.sleep(0.7)
        for timeout in (aiohttp.ClientTimeout(total=10), aiohttp.ClientTimeout(sock_read=7.25)):
            start_s = host.clock.now()
            with pytest.raises(TimeoutError):
                await host.http("silent").get("/", timeout=timeout)
            saw(host, round(host.clock.now() - start_s, 6))
        with pytest.raises(TimeoutError):
            await aiohttp.request(
                "GET", "http://silent/", timeout=aiohttp.ClientTimeout(total=6.5)
            ).__aenter__()
        saw(host, round(host.clock.now() - start_s, 6))

    seen = [float(value) for value in call(life, {"silent": silent}).seen]
    assert seen[0] == 10
    assert 7.25 <= seen[1] < 7.4  # counted from when the request was sent, and then there is the connect
    assert seen[2] == pytest.approx(seen[1] + 6.5)


def test_services_that_read_the_machine_clock_get_virtual_time() -> None:
    names = ("monotonic", "perf_counter", "time", "monotonic_ns", "perf_counter_ns", "time_ns")

    async def life(host: Host) -> None:
        before = [getattr(time, name)() for name in names]
        await host.clock.sleep(100)
        passed = [getattr(time, name)() - then for name, then in zip(names, before, strict=True)]
        saw(host, [round(value if value < 1e9 else value / 1e9, 6) for value in passed])
        saw(host, abs(time.time() - host.clock.wall().timestamp()) < 1e-6)  # noqa: TID251

    assert same(life) == [str([100.0] * 6), "True"]


def test_dates_and_clocks_that_were_imported_by_name_are_virtual() -> None:
    async def life(host: Host) -> None:
        await host.clock.sleep(86_400)
        assert datetime.now(UTC) == host.clock.wall()
        assert datetime.now() == datetime.now(UTC).replace(tzinfo=None)  # noqa: DTZ005
        assert datetime.now(timezone(timedelta(hours=2))) == host.clock.wall()
        assert date.today() == host.clock.wall().date()  # noqa: DTZ011
        assert time.gmtime() == time.localtime() == host.clock.wall().utctimetuple()
        saw(host, datetime.now(UTC))
        saw(host, time.strftime("%F"))
        saw(host, time.ctime())
        saw(host, monotonic() - time.monotonic())  # noqa: TID251
        saw(host, time.process_time())
        saw(host, time.clock_gettime(time.CLOCK_MONOTONIC))

    before = datetime.now(UTC)
    seen = same(life)
    assert seen == [
        "2026-01-02 00:00:05+00:00",
        "2026-01-02",
        "Fri Jan  2 00:00:05 2026",
        "0.0",
        "86405.0",
        "86405.0",
    ]
    assert timedelta(0) <= datetime.now(UTC) - before < timedelta(minutes=5)


def test_facts_of_the_machine_are_those_of_the_node() -> None:
    async def life(host: Host) -> None:
        assert os.getpid() == os.getpid()
        saw(host, (socket.gethostname(), os.getpid(), os.cpu_count()))

    assert same(life) == ["('caller', 1000, 1)"]


def test_the_harness_itself_keeps_real_time() -> None:
    async def body(session: Session) -> float:
        before = time.monotonic()  # noqa: TID251
        await session.clock.sleep(10_000)
        return time.monotonic() - before  # noqa: TID251

    assert run(make_system(), body) < 100


def test_blocking_the_thread_is_an_error() -> None:
    async def life(host: Host) -> None:
        with pytest.raises(DeterminismError, match=r"host\.clock\.sleep"):
            time.sleep(1)  # noqa: ASYNC251, TID251

    call(life)


def test_a_stock_pybreaker_closes_again_in_virtual_time() -> None:
    async def life(host: Host) -> None:
        breaker = pybreaker.CircuitBreaker(fail_max=1, reset_timeout=30)

        def fail() -> None:
            raise OSError

        with pytest.raises(pybreaker.CircuitBreakerError):
            breaker.call(fail)
        for wait_s in (29, 2):
            await host.clock.sleep(wait_s)
            try:
                saw(host, breaker.call(lambda: "passes"))
            except pybreaker.CircuitBreakerError:
                saw(host, "open")

    assert same(life) == ["open", "passes"]


# ---------------------------------------------------------------------- entropy


def test_entropy_comes_from_the_seed() -> None:
    async def life(host: Host) -> None:
        with aiohttp.MultipartWriter() as form:
            form.append("text")
        saw(host, form.boundary)
        saw(host, os.urandom(8).hex())
        saw(host, uuid.uuid4())
        saw(host, uuid.uuid1())
        saw(host, random.Random().random())
        saw(host, secrets.token_hex(8))
        saw(host, random.SystemRandom().randrange(10**9))
        saw(host, random.random())  # noqa: TID251
        saw(host, numpy.random.random())
        saw(host, numpy.random.default_rng().random())
        saw(host, host.rng.random())

    seen = same(life)
    other = call(life, seed=2).seen
    assert all(one != two for one, two in zip(seen, other, strict=True))


def test_hosts_have_streams_of_their_own() -> None:
    """One host that draws more does not shift what another draws."""

    def service(draws: int) -> Callable[[Host], Awaitable[None]]:
        async def drawing(host: Host) -> None:
            for _ in range(draws):
                uuid.uuid4()
                host.rng.random()
                random.random()  # noqa: TID251
            saw(host, (host.name, uuid.uuid4(), host.rng.random(), random.random()))  # noqa: TID251
            await host.serve(web.Application())

        return drawing

    async def life(host: Host) -> None:
        saw(host, (host.name, uuid.uuid4(), host.rng.random(), random.random()))  # noqa: TID251

    few = call(life, {"one": service(1), "two": service(1)}).seen
    many = call(life, {"one": service(9), "two": service(1)}).seen
    assert few[0] != many[0]
    assert few[1:] == many[1:]


def test_websocket_keys_and_masks() -> None:
    async def raw(host: Host) -> None:
        """A web socket server by hand, for the bytes on the wire."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            key = next(line for line in head.splitlines() if line.startswith("Sec-WebSocket-Key")).split(
                ": "
            )[1]
            saw(host, key)
            digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
            )
            saw(host, (await reader.readexactly(11)).hex())
            writer.close()

        await asyncio.start_server(serve, port=8080)
        await host.serve(web.Application())

    async def life(host: Host) -> None:
        async with aiohttp.ClientSession() as session:
            channel = await session.ws_connect("http://raw:8080/")
            await channel.send_str("hello")
            await host.clock.sleep(1)
            await channel.close()

    assert len(same(life, {"raw": raw})) == 2


# ---------------------------------------------------------------------- the patches themselves


def _state() -> list[object]:
    modules: tuple[str, ...] = (
        "time",
        "uuid",
        "os",
        "random",
        "asyncio",
        "asyncio.tasks",
        "aiohttp.connector",
        "aiohttp.helpers",
    )
    modules += ("aiohttp.cookiejar", "aiohappyeyeballs.impl", "pybreaker")
    found = [(name, dict(vars(sys.modules[name]))) for name in modules]
    for _, names in found:
        # A cache of the last formatted date, by its second.
        names.pop("_cached_current_datetime", None)
        names.pop("_cached_formatted_datetime", None)
    return [*found, random.getstate(), numpy.random.get_state()[1].tolist(), gc.isenabled()]


def test_everything_is_put_back() -> None:
    async def life(host: Host) -> None:
        saw(host, random.random())  # noqa: TID251
        saw(host, numpy.random.random())
        raise LookupError

    before = _state()
    with pytest.raises(LookupError):
        call(life)
    assert _state() == before


def test_one_run_at_a_time() -> None:
    async def body(session: Session) -> None:
        with pytest.raises(DeterminismError, match="one after the other"):
            run(make_system(), _never)
        # Refusing the second has not undone the patches of the first.
        monotonic = vars(aiohttp.connector)["monotonic"]
        assert monotonic() == session.clock.now() + 5

    async def _never(_: Session) -> None:
        raise AssertionError

    run(make_system(), body)


@pytest.mark.parametrize(
    ("module", "attribute"),
    [
        ("connector", "monotonic"),
        ("connector", "random"),
        ("connector", "DefaultResolver"),
        ("helpers", "time"),
        ("cookiejar", "time"),
    ],
)
def test_a_library_that_moved_is_refused(
    monkeypatch: pytest.MonkeyPatch, module: str, attribute: str
) -> None:
    before = _state()
    with monkeypatch.context() as patch:
        patch.delattr(sys.modules[f"aiohttp.{module}"], attribute)
        with pytest.raises(DeterminismError, match=rf"aiohttp {aiohttp.__version__}.*{attribute}"):
            call(_crowd)
    assert _state() == before


def test_a_library_that_no_longer_looks_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def ceil_timeout(delay: float) -> object:
        return asyncio.timeout(delay)

    monkeypatch.setattr(aiohttp.helpers, "ceil_timeout", ceil_timeout)
    with pytest.raises(DeterminismError, match=r"'ceil_timeout' does not use 'ceil' any more"):
        call(_crowd)


def test_a_mask_that_moved_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from aiohttp.http_websocket import WebSocketWriter

    monkeypatch.setattr(WebSocketWriter.__init__, "__kwdefaults__", {"use_mask": False})
    with pytest.raises(DeterminismError, match="default argument 'random'"):
        call(_crowd)


def test_garbage_is_collected_at_set_points() -> None:
    """What it frees may close connections, so it must happen at the same request in every run."""
    collected: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            collected.append(info["generation"])

    async def life(host: Host) -> None:
        much: list[list[list[int]]] = []
        for _ in range(Collector.YOUNG_EVERY * 2):
            async with host.http("hello").get("/"):
                much.append([[] for _ in range(100)])

    async def body(session: Session) -> list[int]:
        collected.clear()
        async with session.client(CLIENT, "caller") as host:
            await life(host)
        return list(collected)

    gc.callbacks.append(note)
    try:
        assert [run(make_system(), body) for _ in range(2)] == [[1, 1], [1, 1]]
    finally:
        gc.callbacks.remove(note)
