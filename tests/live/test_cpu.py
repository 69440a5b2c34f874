"""Less processor time for a node: the quota, its effect on clients, and no group outlives its harness."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from harness.cli.main import invoke
from harness.faults.primitives import FaultFailed
from harness.live import cpu
from harness.live.cleanup import cleanup
from harness.live.processes import session_of
from harness.live.resources import names
from harness.live.run_lock import STATE_VARIABLE
from harness.live.runtime import LiveRuntime, LiveSession
from harness.live.workspace import open_workspace
from harness.runtime.contract import RunSettings, Session
from harness.system import Access, Client
from tests.live.support import living_processes, remains
from tests.support.toy_system import system

pytestmark = pytest.mark.live

needs_quota = pytest.mark.skipif(cpu.unavailable_reason() is not None, reason=str(cpu.unavailable_reason()))

BUSY = "while True: pass"
SETTINGS = RunSettings(system, 1, reference="tests.support.toy_system:system")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", BUSY]) as process:
        yield process
        process.kill()


@pytest.mark.parametrize(
    ("factor", "found"),
    [(1, (20_000, 20_000)), (10, (2_000, 20_000)), (100, (2_000, 200_000)), (500, (2_000, 1_000_000))],
)
def test_the_quota_fits_the_kernel(factor: float, found: tuple[int, int]) -> None:
    assert cpu.quota(factor) == found


@pytest.mark.parametrize("factor", [0.5, 501])
def test_a_factor_out_of_range_is_refused(factor: float) -> None:
    with pytest.raises(cpu.FactorOutOfRange):
        cpu.quota(factor)


def test_a_machine_without_the_controller_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_mounts", lambda: iter(()))
    with pytest.raises(cpu.QuotaUnavailable) as refused:
        cpu.parent_group()
    assert cpu.unavailable_reason() == str(refused.value)


def test_version_2_without_the_controller_for_children_is_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = tmp_path / "cgroup.subtree_control"
    control.write_text("memory pids\n")
    monkeypatch.setattr(cpu, "_places", lambda: iter([cpu.ParentGroup(tmp_path, 2)]))
    # What to write, and where.
    assert f"+cpu > {control}" in str(cpu.unavailable_reason())
    assert control.read_text() == "memory pids\n"


def test_version_2_gets_quota_and_period(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a directory that stands for a cgroup of version 2, as this machine has version 1."""
    monkeypatch.setattr(cpu, "parent_group", lambda: cpu.ParentGroup(tmp_path, 2))
    group = cpu.Group(64, "edge-1")
    group.limit(10, [41])
    assert (tmp_path / "harness-live-64-edge-1" / "cpu.max").read_text() == "2000 20000"
    assert (tmp_path / "harness-live-64-edge-1" / "cgroup.procs").read_text() == "41"
    (group.directory / "cpu.stat").write_text("usage_usec 9\nnr_throttled 3\nthrottled_usec 4500\n")
    assert group.throttled_us() == 4500


def ticks(pid: int) -> int:
    """Processor time used so far (proc_pid_stat(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@needs_quota
def test_a_limited_process_waits(busy: subprocess.Popen[bytes]) -> None:
    group = cpu.Group(64, "test-waits")
    try:
        group.limit(20, [busy.pid])
        before, began_s = ticks(busy.pid), time.perf_counter()
        while (took_s := time.perf_counter() - began_s) < 0.6:
            time.sleep(0.05)  # noqa: TID251 (the process is measured over real time)
        used_s = (ticks(busy.pid) - before) / os.sysconf("SC_CLK_TCK")
        # 5 % of a core; two ticks are what the counter's steps may add.
        assert used_s <= 0.05 * took_s + 2 / os.sysconf("SC_CLK_TCK") + 0.01
        assert group.throttled_us() > 100_000
        assert cpu.groups_of(64) == (group.directory,)
    finally:
        group.release()
    assert cpu.groups_of(64) == ()
    assert busy.poll() is None
    assert group.throttled_us() > 100_000


async def _ask(session: Session, often: int) -> float:
    async with session.client(Client("s", "east", "fast", Access(1e8, 1e8, 0.0)), "shopper") as host:
        began_s = session.clock.now()
        for _ in range(often):
            async with host.http("backend-east").get("/offers", timeout=aiohttp.ClientTimeout(20)) as answer:
                assert answer.status == 200
        return session.clock.now() - began_s


@needs_quota
def test_a_slow_node_answers_late_also_after_a_restart(state: Path) -> None:
    async def body(session: Session) -> None:
        assert isinstance(session, LiveSession)
        do = session.primitives
        group = cpu.Group(session.workspace.run, "backend-east").directory

        def process() -> int:
            (pid,) = [
                pid for pid, name in living_processes(session.workspace).items() if name == "backend-east"
            ]
            return pid

        quick_s = await _ask(session, 20)
        more = await do.cpu_limit("backend-east", 10)
        most = await do.cpu_limit("backend-east", 200)
        assert _limited(group) == session_of(process())
        assert await _ask(session, 20) > 2 * quick_s
        killed = await do.kill("backend-east")
        await killed.undo()
        assert _limited(group) == [process()]
        assert await _ask(session, 10) > quick_s
        await most.undo()
        # The other one is still in force.
        assert group.is_dir()
        await more.undo()
        assert not group.exists()
        for applied in (more, most):
            assert applied.exposure().throttled_ms > 50
            await applied.undo()
        with pytest.raises(FaultFailed) as refused:
            await do.cpu_limit("backend-east", 1000)
        assert isinstance(refused.value.__cause__, cpu.FactorOutOfRange)
        assert not group.exists()
        await do.cpu_limit("backend-west", 10)

    LiveRuntime().run(SETTINGS, body)
    assert not remains(state)


def _limited(group: Path) -> list[int]:
    return sorted(int(line) for line in (group / "cgroup.procs").read_text().split())


DIES = """
import asyncio, os, signal
from pathlib import Path
from harness.runtime.contract import RunSettings
from harness.live.runtime import LiveRuntime
from tests.live.support import remains
from tests.support.toy_system import system
from tests.support.watchdogs import kill_watchdogs

async def body(session):
    await session.primitives.cpu_limit("backend-east", 10)
    kill_watchdogs(Path(os.environ["HARNESS_LIVE_STATE"]))
    os.kill(os.getpid(), signal.SIGKILL)

LiveRuntime().run(RunSettings(system, 1, reference="tests.support.toy_system:system"), body)
"""


@needs_quota
@pytest.mark.parametrize("who", ["cleanup", "the next run"])
def test_the_empty_group_of_a_dead_harness_is_removed(state: Path, who: str) -> None:
    died = subprocess.run([sys.executable, "-c", DIES], stderr=subprocess.PIPE, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    deadline_s = time.perf_counter() + 5
    while names(remains(state), "process") and time.perf_counter() < deadline_s:
        time.sleep(0.01)  # noqa: TID251 (the kernel kills them, one after the other)
    (group,) = map(Path, names(remains(state), "control-group"))
    assert not (group / "cgroup.procs").read_text()
    if who == "cleanup":
        (cleaned,) = cleanup(state).cleaned
        assert names(cleaned.undone, "control-group") == [str(group)]
        (fault,) = names(cleaned.undone, "fault")
        assert fault.startswith("cpu-limit of backend-east ")
    else:
        with contextlib.ExitStack() as held:
            # The first that is free; another test may hold that one, and then it has cleaned it.
            while group.exists():
                held.enter_context(open_workspace(state))
    assert not group.exists()
    assert not remains(state)


CPU_LIMIT = """
experiment: slow-backend
title: A slow backend
system: tests.support.toy_system:system
load:
  shoppers: {arrive: 4/s, for: 8s, mix: fast}
timeline:
  - {at: 5s, for: 1s, fault: cpu-limit, cpu: 5%, target: {node: backend-east}}
gates:
  - {event: gateway.retry, within: 2s, of: fault}
"""


def test_live_refuses_where_the_machine_cannot(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cpu, "_mounts", lambda: iter(()))
    file = tmp_path / "slow.chaos.yaml"
    file.write_text(CPU_LIMIT)
    assert invoke(["run", str(file), "--runtime", "live", "--reports", str(tmp_path / "reports")]) == 4
    assert f"{file}:8:" in capsys.readouterr().err
    assert not state.exists()


def test_the_children_of_a_node_are_found() -> None:
    """A service may start processes of its own."""
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, start_new_session=True
    ) as leader:
        deadline_s = time.perf_counter() + 10
        while len(session_of(leader.pid)) < 2 and time.perf_counter() < deadline_s:
            time.sleep(0.01)  # noqa: TID251 (real processes take real time to begin)
        assert len(session_of(leader.pid)) == 2
        assert session_of(leader.pid)[0] == leader.pid
        os.killpg(leader.pid, signal.SIGKILL)
