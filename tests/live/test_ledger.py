"""What a dead harness leaves is found, undone and proven gone; what a living one holds is left alone."""

from __future__ import annotations

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
from harness.live.ledger import Ledger, keep, read, undo
from harness.live.processes import MARK, marked, started
from harness.live.resources import KINDS, ExternalProxies, Fault, Process, RunDirectory, names
from harness.live.run_lock import FIRST, LAST, STATE_VARIABLE, LiveUnavailable, own_directory
from harness.live.workspace import open_workspace
from harness.runtime.contract import LeftBehind
from tests.live.support import remains, run_number
from tests.support.watchdogs import kill_watchdogs

pytestmark = pytest.mark.live

SLEEP = "import time; time.sleep(60)"

DIES_AT_ONCE = """
import os, signal, subprocess, sys
from pathlib import Path
from harness.live.processes import run_environment
from harness.live.resources import Fault, Process
from harness.live.workspace import open_workspace
from tests.support.watchdogs import kill_watchdogs
with open_workspace(Path(sys.argv[1])) as workspace:
    orphan = subprocess.Popen([sys.executable, "-c", sys.argv[2]], stdout=subprocess.DEVNULL,
                              env=run_environment(workspace.directory))
    if sys.argv[3] == "noted":
        workspace.ledger.add(Process.of(orphan.pid, "orphan"))
    workspace.ledger.add(Fault(name="pause of edge-1", undone_by="continue edge-1"))
    kill_watchdogs(Path(sys.argv[1]))
    print(orphan.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
"""A harness that leaves a process which does not die with it."""


def until(there: Callable[[], bool]) -> None:
    """Real processes take real time to begin and to end: a few milliseconds."""
    for _ in range(1000):
        if there():
            return
        time.sleep(0.005)  # noqa: TID251
    raise AssertionError("the condition did not hold within 5 s")


def test_each_run_has_its_own_number(tmp_path: Path) -> None:
    with open_workspace(tmp_path) as first, open_workspace(tmp_path) as second:
        assert FIRST <= first.run < second.run <= LAST
        assert first.address(1) == f"127.{first.run}.0.2"
        assert first.address(256) == f"127.{first.run}.1.1"
        done = cleanup(tmp_path)
        assert done.clean
        assert [run for run, _ in done.held] == [first.run, second.run]
        assert str(os.getpid()) in done.held[0][1]
        assert first.directory.is_dir()
    assert not list(tmp_path.glob("run-*/"))
    assert not list(tmp_path.glob("run-*.ledger"))


def test_a_lock_is_held_whatever_the_state_directory(tmp_path: Path) -> None:
    """The addresses belong to the machine, not to the directory; and the holder is found."""
    with open_workspace(tmp_path / "a") as first, open_workspace(tmp_path / "b") as second:
        assert first.run != second.run
        (tmp_path / "b" / f"run-{first.run}.lock").touch()
        who = dict(cleanup(tmp_path / "b").held)[first.run]
        assert who.startswith(f"process {os.getpid()} (")
        assert "whose state directory is" in who


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
    until(lambda: names(remains(tmp_path), "process") == [str(orphan)])
    done = cleanup(tmp_path)
    assert done.clean
    (run,) = done.cleaned
    assert names(run.undone, "process") == [str(orphan)]
    assert names(run.undone, "fault") == ["pause of edge-1"]
    assert "continue edge-1" in next(item for item in run.undone if item.kind == "fault").description
    assert started(orphan) is None
    assert cleanup(tmp_path).cleaned == ()


def test_the_next_run_cleans_what_the_last_one_left(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DIES_AT_ONCE, str(tmp_path), SLEEP, "noted"]
    harness = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    with open_workspace(tmp_path) as workspace:
        assert workspace.run == run_number(tmp_path)
        assert started(int(harness.stdout)) is None


def test_a_process_with_a_used_id_is_not_killed(tmp_path: Path) -> None:
    """Ids are used again; a process is the noted one only if it was started at the same moment."""
    with subprocess.Popen([sys.executable, "-c", SLEEP]) as other:
        try:
            (tmp_path / f"run-{LAST}").mkdir()
            (tmp_path / f"run-{LAST}.lock").touch()
            ledger = tmp_path / f"run-{LAST}.ledger"
            with Ledger(ledger) as written:
                written.add(Process(pid=other.pid, started=1, name="node of long ago"))
            with open(ledger, "a") as file:
                file.write('{"number": 2, "resource": {"kind": "process", "pid": 1, "sta')
            done = cleanup(tmp_path)
            assert done.clean
            assert names(done.cleaned[0].undone, "process") == []
            assert other.poll() is None
            assert not ledger.exists()
        finally:
            other.kill()


def test_what_is_left_after_a_run_is_an_error(tmp_path: Path) -> None:
    def leave(sock: socket.socket) -> None:
        with open_workspace(tmp_path) as workspace:
            sock.bind((workspace.address(8), 0))
            sock.listen()

    with socket.socket() as sock, pytest.raises(LeftBehind, match=r"a listener at 127\.\d+\.0\.9:\d+"):
        leave(sock)
    used = run_number(tmp_path)
    with socket.socket() as sock:
        sock.bind((f"127.{used}.0.9", 0))
        sock.listen()
        with open_workspace(tmp_path) as workspace:
            assert workspace.run != used


def test_a_process_of_the_run_does_not_outlive_it(tmp_path: Path) -> None:
    with open_workspace(tmp_path) as workspace:
        child = subprocess.Popen(
            [sys.executable, "-c", SLEEP], env={**os.environ, MARK: str(workspace.directory)}
        )
        until(lambda: marked(workspace.directory) == [child.pid])
    assert child.wait() == -signal.SIGKILL


def test_the_state_must_be_ones_own(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(LiveUnavailable, match=STATE_VARIABLE):
        own_directory(tmp_path / "link")


def test_a_ledger_remembers_what_is_not_undone(tmp_path: Path) -> None:
    """Also across a clean-up that could not undo everything, and a run after it."""
    file = tmp_path / "run-64.ledger"
    pause, cut = Fault(name="pause", undone_by="continue"), Fault(name="cut", undone_by="connect")
    with Ledger(file) as ledger:
        first = ledger.add(pause)
        ledger.add(cut)
        ledger.remove(first)
    assert read(file) == [cut]
    keep(file, [cut])
    with Ledger(file) as ledger:
        ledger.remove(ledger.add(pause))
        assert read(file) == [cut]
    keep(file, [])
    assert read(file) == []
    assert not file.exists()


def test_resources_are_undone_in_the_order_of_kinds_and_failures_are_kept(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        proxies = ExternalProxies(url=url, prefix="harness-64~")
        directory = RunDirectory(directory=tmp_path / "run-64")
        directory.directory.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("harness.live.external_proxies.ANSWER_S", 0.1)
            done, failed = undo([directory, proxies, Fault(name="pause", undone_by="continue")])
    assert [item.kind for item in done] == ["fault", "files"]
    assert [resource for resource, _ in failed] == [proxies]


def test_every_kind_has_its_own_name() -> None:
    assert len({kind.model_fields["kind"].default for kind in KINDS}) == len(KINDS)


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
    assert len(marked(tmp_path / f"run-{run_number(tmp_path)}")) >= 2 + 3
    kill_watchdogs(tmp_path)
    running.kill()
    running.wait()
    until(lambda: not names(remains(tmp_path), "process"))
    assert names(remains(tmp_path), "listener") == []
    done = cleanup(tmp_path)
    assert done.clean
    assert names(done.cleaned[0].undone, "fault") == [
        "pause of gateway-east",
        "power_off of backend-east",
    ]
    assert not remains(tmp_path)


def test_an_interrupted_harness_leaves_nothing(running: subprocess.Popen[str], tmp_path: Path) -> None:
    running.send_signal(signal.SIGINT)
    running.wait(10)
    assert not remains(tmp_path)
