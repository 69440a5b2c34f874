"""No orphan, whatever dies: not what services have started themselves, not when the whole process group is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.live import cpu
from harness.live.ledger import STATE_VARIABLE, remains
from harness.live.pdeathsig import started
from harness.live.runtime import LiveRuntime
from harness.runtime.contract import RunSettings, Session
from harness.system import Access, Client
from tests.support.forking_system import system
from tests.support.watchdogs import wardens

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
    if cpu.unable() is None:
        await session.primitives.slow("parent", 2)
    print(child, flush=True)
    await asyncio.sleep(60)

LiveRuntime().run(RunSettings(system, 1, reference="tests.support.forking_system:system"), body)
"""


def until(there: Callable[[], bool], limit_s: float = 10.0) -> None:
    deadline_s = time.perf_counter() + limit_s
    while not there():
        assert time.perf_counter() < deadline_s, f"it did not come to that within {limit_s} s"
        time.sleep(0.01)  # noqa: TID251 (real processes take real time to end)


@pytest.mark.parametrize("group", [False, True], ids=["the harness", "its process group"])
def test_what_a_service_has_started_goes_with_the_harness(tmp_path: Path, group: bool) -> None:
    """And files and control groups go, too, without anybody's help."""
    with subprocess.Popen(
        [sys.executable, "-c", HARNESS],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, STATE_VARIABLE: str(tmp_path)},
        start_new_session=True,
    ) as harness:
        assert harness.stdout is not None
        child = int(harness.stdout.readline())
        (lock,) = tmp_path.glob("slot-*.lock")
        slot = int(lock.stem.removeprefix("slot-"))
        assert started(child) is not None
        assert bool(cpu.left_of(slot)) == (cpu.unable() is None)
        (os.killpg if group else os.kill)(harness.pid, signal.SIGKILL)
    until(lambda: started(child) is None)
    until(lambda: not remains(tmp_path, slot).any)


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
    raise AssertionError("it did not come to that within 10 s")


def stopped(pid: int) -> bool:
    """State T of proc_pid_stat(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_an_ended_harness_leaves_no_warden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    during: list[list[int]] = []

    async def body(_: Session) -> None:
        during.append(wardens(tmp_path))

    LiveRuntime().run(RunSettings(system, 1, reference="tests.support.forking_system:system"), body)
    assert len(during[0]) == 1
    assert not wardens(tmp_path)
