"""Tests in virtual time: of any asyncio code, of one service with stubs, of a system."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from harness import HostError, ServiceDefect, UsageError, World, simulate
from harness.system import Event, Host
from tests.compat.shop import Call, api, system


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readline())
    writer.close()


async def echo(_: Host) -> None:
    await (await asyncio.start_server(answer, "0.0.0.0", 80)).serve_forever()


async def ask(name: str = "server") -> bytes:
    reader, writer = await asyncio.open_connection(name, 80)
    writer.write(b"hello\n")
    try:
        return await reader.read()
    finally:
        writer.close()


@simulate(nodes={"server": echo})
async def test_any_asyncio_code(world: World) -> None:
    assert await ask() == b"hello\n"


@simulate(nodes={"server": echo})
async def test_the_words_of_experiment_files(world: World, tmp_path: Path) -> None:
    assert tmp_path.name  # fixtures are fixtures
    async with world.fault("latency", {"link": {"from": "test", "to": "server"}}, delay="3s") as fault:
        assert await ask() == b"hello\n"
        assert world.now > 9  # there and back for the handshake, there and back for the answer
        assert fault.exposure().touched
    start_s = world.now
    await ask()
    assert world.now - start_s < 0.1


@simulate(nodes={"server": echo})
async def test_verbs(world: World) -> None:
    async with world.partition("test", "server"):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await ask()
    async with world.crash("server"):
        with pytest.raises(ConnectionRefusedError):
            await ask()
    async with world.pause("server"):
        pending = asyncio.create_task(ask())
        await world.sleep(10)
        assert not pending.done()
    assert await pending == b"hello\n"
    async with world.loss("test", "server", "20%"), world.latency("test", "server", "50ms"):
        assert await ask() == b"hello\n"


async def slow_catalog(host: Host) -> None:
    async def item(_: web.Request) -> web.Response:
        await host.clock.sleep(3)
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/items/{number}", item)
    await host.serve(app)


@simulate(system, nodes={"api": api, "catalog": slow_catalog})
async def test_one_service_with_a_stub(world: World) -> None:
    async with world.http("api").get("/products/1") as found:
        assert (await found.json())["source"] == "fallback"
    assert world.now < 1


@simulate("tests.compat.shop:system", seeds=3)
async def test_a_system_under_a_fault(world: World) -> None:
    async with (
        world.fault("latency", "catalog", delay="3s"),
        world.http("api").get("/products/1", timeout=aiohttp.ClientTimeout(total=2)) as found,
    ):
        assert (await found.json())["source"] == "fallback"
    assert world.rows(Call) == []


def test_a_failure_names_its_seed_and_what_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    @simulate(nodes={"server": echo}, seeds=50)
    async def test(world: World) -> None:
        tried.append(world.seed)
        async with world.pause("server"):
            await world.sleep(1)
        assert world.host.rng.random() < 0.8

    with pytest.raises(AssertionError) as first:
        test()
    assert tried == [*range(1, tried[-1] + 1)]
    assert len(tried) < 50
    seed = tried[-1]
    notes = "\n".join(first.value.__notes__)
    assert f"HARNESS_SEED={seed}" in notes
    assert "0.000 s  pause of server begins" in notes
    assert "1.000 s  pause of server ends" in notes
    monkeypatch.setenv("HARNESS_SEED", str(seed))
    tried.clear()
    with pytest.raises(AssertionError):
        test()
    assert tried == [seed]


def test_a_service_that_breaks_fails_the_test() -> None:
    async def broken(host: Host) -> None:
        async def work() -> None:
            await asyncio.sleep(1)
            raise KeyError("nobody looks at this")

        host.ready()
        kept = asyncio.create_task(work())
        await asyncio.Event().wait()
        await kept

    @simulate(nodes={"worker": broken})
    async def test(world: World) -> None:
        await world.sleep(2)

    with pytest.raises(ServiceDefect, match="nobody looks at this"):
        test()


def test_misuse() -> None:
    with pytest.raises(UsageError):
        simulate(nodes={})(lambda world: None)  # type: ignore[arg-type, return-value]

    @simulate(nodes={"server": echo})
    async def unknown_fault(world: World) -> None:
        world.fault("flood", "server")

    @simulate(nodes={"server": echo})
    async def unknown_host(world: World) -> None:
        async with world.partition("test", "sever"):
            pass

    @simulate(nodes={"server": echo})
    async def unknown_event(world: World) -> None:
        world.host.emit(Event("never declared"))

    for test, error in (
        (unknown_fault, UsageError),
        (unknown_host, UsageError),
        (unknown_event, ServiceDefect),
    ):
        with pytest.raises(error):
            test()
    assert issubclass(HostError, Exception)
