"""Leases: what a dead harness leaves is found, undone and proven gone; what a living one holds is left alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.live.cleanup import cleanup
from harness.live.ledger import (
    FIRST,
    LAST,
    STATE_VARIABLE,
    NoSlot,
    hold_slot,
    own_directory,
    remains,
)
from harness.live.pdeathsig import MARK, marked, started
from harness.runtime.contract import LeftBehind
from tests.support.watchdogs import kill_wardens

pytestmark = pytest.mark.live

SLEEP = "import time; time.sleep(60)"

DIES_AT_ONCE = """
import os, signal, subprocess, sys
from pathlib import Path
from harness.live.ledger import hold_slot
from harness.live.pdeathsig import environment
from tests.support.watchdogs import kill_wardens
with hold_slot(Path(sys.argv[1])) as lease:
    orphan = subprocess.Popen([sys.executable, "-c", sys.argv[2]], stdout=subprocess.DEVNULL,
                              env=environment(lease.directory))
    if sys.argv[3] == "noted":
        lease.process(orphan.pid, "orphan")
    lease.fault("pause of edge-1", "continue edge-1")
    kill_wardens(Path(sys.argv[1]))
    print(orphan.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
"""A harness that leaves a process which is not tied to it."""


def slot_of(state: Path) -> int:
    """The one slot that was ever held with this state directory."""
    (lock,) = state.glob("slot-*.lock")
    return int(lock.stem.removeprefix("slot-"))


def until(there: Callable[[], bool]) -> None:
    """Real processes take real time to begin and to end: a few milliseconds."""
    for _ in range(1000):
        if there():
            return
        time.sleep(0.005)  # noqa: TID251
    raise AssertionError("it did not come to that within 5 s")


def test_slots_are_held_one_by_one(tmp_path: Path) -> None:
    with hold_slot(tmp_path) as first, hold_slot(tmp_path) as second:
        assert FIRST <= first.slot < second.slot <= LAST
        assert first.address(1) == f"127.{first.slot}.0.2"
        assert first.address(256) == f"127.{first.slot}.1.1"
        done = cleanup(tmp_path)
        assert done.clean
        assert [slot for slot, _ in done.held] == [first.slot, second.slot]
        assert str(os.getpid()) in done.held[0][1]
        assert first.directory.is_dir()
    assert not remains(tmp_path, first.slot).any


def test_a_slot_is_held_whatever_the_state_directory(tmp_path: Path) -> None:
    """Its addresses are the machine's, not the directory's; and who holds it can be told."""
    with hold_slot(tmp_path / "a") as first, hold_slot(tmp_path / "b") as second:
        assert first.slot != second.slot
        (tmp_path / "b" / f"slot-{first.slot}.lock").touch()
        told = dict(cleanup(tmp_path / "b").held)[first.slot]
        assert told.startswith(f"process {os.getpid()} (")
        assert "whose state directory is" in told


@pytest.mark.parametrize("noted", ["noted", "not noted"])
def test_an_orphan_of_a_dead_harness_is_killed(tmp_path: Path, noted: str) -> None:
    """Whether or not it had been written down: it carries the mark of its run."""
    harness = subprocess.run(
        [sys.executable, "-c", DIES_AT_ONCE, str(tmp_path), SLEEP, noted],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert harness.returncode == -signal.SIGKILL
    orphan = int(harness.stdout)
    assert started(orphan) is not None
    until(lambda: bool(remains(tmp_path, slot_of(tmp_path)).processes))
    assert remains(tmp_path, slot_of(tmp_path)).processes[0][0] == orphan
    done = cleanup(tmp_path)
    assert done.clean
    (slot,) = done.cleaned
    assert [pid for pid, _ in slot.killed] == [orphan]
    assert slot.faults == (("pause of edge-1", "continue edge-1"),)
    assert started(orphan) is None
    assert cleanup(tmp_path).cleaned == ()


def test_the_next_run_cleans_what_the_last_one_left(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DIES_AT_ONCE, str(tmp_path), SLEEP, "noted"]
    harness = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    with hold_slot(tmp_path) as lease:
        assert lease.slot == slot_of(tmp_path)
        assert started(int(harness.stdout)) is None


def test_a_process_with_a_used_id_is_not_killed(tmp_path: Path) -> None:
    """Ids are used again; a process is the noted one only if it was started at the same moment."""
    with subprocess.Popen([sys.executable, "-c", SLEEP]) as other:
        try:
            directory = tmp_path / f"slot-{LAST}"
            directory.mkdir()
            (tmp_path / f"slot-{LAST}.lock").touch()
            entry = {"process": other.pid, "started": 1, "what": "node of long ago"}
            (directory / "lease.jsonl").write_text(json.dumps(entry) + '\n{"process": 1, "sta')
            done = cleanup(tmp_path)
            assert done.clean
            assert done.cleaned[0].killed == ()
            assert other.poll() is None
        finally:
            other.kill()


def test_what_is_left_after_a_run_is_an_error(tmp_path: Path) -> None:
    def leave(sock: socket.socket) -> None:
        with hold_slot(tmp_path) as lease:
            sock.bind((lease.address(8), 0))
            sock.listen()

    with socket.socket() as sock, pytest.raises(LeftBehind, match=r"a listener at 127\.\d+\.0\.9:\d+"):
        leave(sock)
    used = slot_of(tmp_path)
    with socket.socket() as sock:
        sock.bind((f"127.{used}.0.9", 0))
        sock.listen()
        with hold_slot(tmp_path) as lease:
            assert lease.slot != used


def test_a_process_of_the_run_does_not_outlive_it(tmp_path: Path) -> None:
    with hold_slot(tmp_path) as lease:
        child = subprocess.Popen(
            [sys.executable, "-c", SLEEP], env={**os.environ, MARK: str(lease.directory)}
        )
        until(lambda: marked(lease.directory) == [child.pid])
    assert child.wait() == -signal.SIGKILL


def test_the_state_must_be_ones_own(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(NoSlot, match=STATE_VARIABLE):
        own_directory(tmp_path / "link")


HARNESS = """
import asyncio, sys
from harness.runtime.contract import RunSettings
from harness.live.runtime import LiveRuntime
from tests.support.toy_system import system

async def body(session):
    paused = await session.primitives.pause("gateway-east")
    killed = await session.primitives.power_off("backend-east")
    print("running", flush=True)
    await asyncio.sleep(60)

LiveRuntime().run(RunSettings(system, 1, reference="tests.support.toy_system:system"), body)
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A live run with a paused node and one without power, in a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", HARNESS],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, STATE_VARIABLE: str(tmp_path)},
    ) as harness:
        try:
            assert harness.stdout is not None
            assert harness.stdout.readline() == "running\n"
            yield harness
        finally:
            harness.kill()


def test_nothing_outlives_a_killed_harness(running: subprocess.Popen[str], tmp_path: Path) -> None:
    """SIGKILL in the middle: the kernel ends every process, stopped ones too; cleanup finds files only."""
    directory = tmp_path / f"slot-{slot_of(tmp_path)}"
    assert len(marked(directory)) >= 2 + 3
    kill_wardens(tmp_path)
    running.kill()
    running.wait()
    until(lambda: not remains(tmp_path, slot_of(tmp_path)).processes)
    assert remains(tmp_path, slot_of(tmp_path)).listeners == ()
    done = cleanup(tmp_path)
    assert done.clean
    assert [what for what, _ in done.cleaned[0].faults] == [
        "pause of gateway-east",
        "power_off of backend-east",
    ]
    assert not remains(tmp_path, slot_of(tmp_path)).any


def test_an_interrupted_harness_leaves_nothing(running: subprocess.Popen[str], tmp_path: Path) -> None:
    running.send_signal(signal.SIGINT)
    running.wait(10)
    assert not remains(tmp_path, slot_of(tmp_path)).any
