"""Code that blocks the loop, or never lets time move, ends the run with its host and line."""

from __future__ import annotations

import _thread
import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from harness.sim import watch
from harness.sim.threads import VirtualTimeError
from harness.system import Host
from tests.sim.support import application, call


async def _spins() -> None:
    while True:
        pass


async def _waits_in_c() -> None:
    lock = _thread.allocate_lock()
    lock.acquire()
    lock.acquire()


async def _never_waits() -> None:
    while True:
        await asyncio.sleep(0)
        sum(range(20_000))


@pytest.mark.parametrize("blocks", [_spins, _waits_in_c, _never_waits])
def test_the_run_ends_with_the_line(
    monkeypatch: pytest.MonkeyPatch, blocks: Callable[[], Awaitable[None]]
) -> None:
    monkeypatch.setattr(watch, "BLOCK_S", 0.3)

    async def service(host: Host) -> None:
        async def answer(_: web.Request) -> web.Response:
            await blocks()
            return web.Response()

        await host.serve(application(answer))

    async def life(host: Host) -> None:
        await host.http("service").get("/")

    with pytest.raises(
        VirtualTimeError, match=rf"^service has blocked.*test_watch\.py:\d+, in {blocks.__name__}"
    ):
        call(life, {"service": service})
    assert signal.getsignal(signal.SIGURG) is signal.SIG_DFL
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("watch")]


def test_in_another_thread_than_the_main_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BLOCK_S", 0.3)
    errors: list[BaseException] = []

    async def life(_: Host) -> None:
        await _spins()

    def run() -> None:
        try:
            call(life)
        except VirtualTimeError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "test_watch.py" in str(errors[0])


def test_the_livelock_names_the_line() -> None:
    async def life(_: Host) -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    with pytest.raises(VirtualTimeError, match=r"livelock.*test_watch\.py:\d+, in life"):
        call(life)


def test_long_work_is_no_blocking_while_time_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BLOCK_S", 0.2)

    async def life(_: Host) -> None:
        for _number in range(20):
            sum(range(2_000_000))
            await asyncio.sleep(0.001)

    call(life)
