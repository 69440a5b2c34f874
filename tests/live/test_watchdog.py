"""No orphan, whatever dies: no child of a service, not even when the whole process group is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from harness.live import cpu
from harness.live.processes import started
from harness.live.run_lock import STATE_VARIABLE
from harness.live.runtime import LiveRuntime
from harness.runtime.contract import RunSettings, Session
from harness.system import Access, Client
from tests.live.support import remains, run_number
from tests.support.forking_system import system
from tests.support.watchdogs import watchdogs

pytestmark = pytest.mark.live

HARNESS = """
import asyncio, sys
from harness.runtime.contract import RunSettings
from harness.live import cpu
from harness.live.runtime import LiveRuntime
from harness.system import Access, Client
from tests.support.forking_system import system

async def body(session):
    async with session.client(Client("c", "here", "fast", Access(1e8, 1e8, 0.0)), "caller") as host:
        async with host.http("parent").get("/child") as answer:
            child = await answer.text()
    if cpu.unavailable_reason() is None:
        await session.primitives.cpu_limit("parent", 2)
    print(child, flush=True)
    await asyncio.sleep(60)

LiveRuntime().run(RunSettings(system, 1, reference="tests.support.forking_system:system"), body)
"""


def until(there: Callable[[], bool], limit_s: float = 10.0) -> None:
    deadline_s = time.perf_counter() + limit_s
    while not there():
        assert time.perf_counter() < deadline_s, f"the condition did not hold within {limit_s} s"
        time.sleep(0.01)  # noqa: TID251 (real processes take real time to end)


@pytest.mark.parametrize("group", [False, True], ids=["the harness", "its process group"])
def test_what_a_service_has_started_goes_with_the_harness(tmp_path: Path, group: bool) -> None:
    """Files and control groups go, too, and nothing else has to run."""
    with subprocess.Popen(
        [sys.executable, "-c", HARNESS],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, STATE_VARIABLE: str(tmp_path)},
        start_new_session=True,
    ) as harness:
        assert harness.stdout is not None
        child = int(harness.stdout.readline())
        assert started(child) is not None
        assert bool(cpu.groups_of(run_number(tmp_path))) == (cpu.unavailable_reason() is None)
        (os.killpg if group else os.kill)(harness.pid, signal.SIGKILL)
    until(lambda: started(child) is None)
    # The ledger goes last: it is kept as long as anything remains.
    until(lambda: not list(tmp_path.glob("run-*.ledger")))
    assert not remains(tmp_path)


def test_a_crash_takes_the_children_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))

    async def body(session: Session) -> None:
        async def child() -> int:
            access = Access(1e8, 1e8, 0.0)
            async with (
                session.client(Client("c", "here", "fast", access), "caller") as host,
                host.http("parent").get("/child") as answer,
            ):
                return int(await answer.text())

        first = await child()
        paused = await session.primitives.pause("parent")
        await soon(lambda: stopped(first))
        await paused.undo()
        crashed = await session.primitives.kill("parent")
        await soon(lambda: started(first) is None)
        await crashed.undo()
        assert await child() != first

    LiveRuntime().run(RunSettings(system, 1, reference="tests.support.forking_system:system"), body)


async def soon(there: Callable[[], bool]) -> None:
    """Signals take their time."""
    for _ in range(1000):
        if there():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the condition did not hold within 10 s")


def stopped(pid: int) -> bool:
    return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)


def test_an_ended_harness_leaves_no_watchdog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    during: list[list[int]] = []

    async def body(_: Session) -> None:
        during.append(watchdogs(tmp_path))

    LiveRuntime().run(RunSettings(system, 1, reference="tests.support.forking_system:system"), body)
    assert len(during[0]) == 1
    assert not watchdogs(tmp_path)
