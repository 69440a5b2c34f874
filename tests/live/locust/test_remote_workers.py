"""Workers of the load on another machine: a network namespace with a monotonic clock of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.history.read import History
from harness.live.run_lock import STATE_VARIABLE
from tests.live.locust.test_cluster import EXPERIMENT, SLOS, harness, left, until
from tests.live.support import machine_devices

SHIFT_S = 5000
"""How far the other machine's monotonic clock is ahead."""

PORT = 5557

pytestmark = [
    pytest.mark.live,
    pytest.mark.xdist_group("devices"),
    pytest.mark.skipif(
        importlib.util.find_spec("locust") is None, reason="the extra 'load' is not installed"
    ),
    pytest.mark.skipif(os.getuid() != 0, reason="namespaces need root"),
    pytest.mark.skipif(
        not (shutil.which("ip") and shutil.which("unshare")),
        reason="needs ip (iproute2) and unshare (util-linux)",
    ),
]


@dataclass(frozen=True)
class Elsewhere:
    """`here`: this machine's address as the other one sees it; `enter`: to run a command there."""

    here: str
    enter: tuple[str, ...]


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    with machine_devices(changes=True):
        yield from _elsewhere()


def _elsewhere() -> Iterator[Elsewhere]:
    number = os.getpid() % 250
    name, inside, outside = f"load-{os.getpid()}", f"li{os.getpid()}", f"lo{os.getpid()}"
    net = f"198.18.{number}"  # RFC 2544: for tests

    def ip(*arguments: str) -> None:
        done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"ip {' '.join(arguments)}: {done.stderr.strip()}")

    ip("netns", "add", name)
    try:
        ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", name)
        ip("addr", "add", f"{net}.1/30", "dev", outside)
        ip("link", "set", outside, "up")
        ip("-n", name, "addr", "add", f"{net}.2/30", "dev", inside)
        ip("-n", name, "link", "set", inside, "up")
        clock = ("unshare", "--time", "--monotonic", str(SHIFT_S))
        yield Elsewhere(f"{net}.1", ("ip", "netns", "exec", name, *clock))
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    (tmp_path / "slos.yaml").write_text(SLOS)
    (tmp_path / "shop.chaos.yaml").write_text(EXPERIMENT)
    return tmp_path / "state"


def begin(state: Path, elsewhere: Elsewhere, workers: int) -> tuple[list[subprocess.Popen[str]], Any]:
    master = f"{elsewhere.here}:{PORT}"
    brought = [harness("load", "worker", "--master", master, before=elsewhere.enter) for _ in range(workers)]
    running = harness(
        *(
            "run",
            state.parent / "shop.chaos.yaml",
            "--runtime",
            "live",
            "--reports",
            state.parent / "reports",
        ),
        *("--locust-workers", str(workers), "--locust-master", master),
    )
    return brought, running


def end(brought: list[subprocess.Popen[str]]) -> None:
    for process in brought:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


def test_clients_come_from_another_machine(state: Path, elsewhere: Elsewhere) -> None:
    brought, running = begin(state, elsewhere, 2)
    try:
        said = running.communicate(timeout=60)[0]
    finally:
        end(brought)
    assert running.returncode == 0, said
    assert f"harness load worker --master {elsewhere.here}:{PORT}" in said
    (run,) = (state.parent / "reports" / "latest").glob("*.seed1")
    load = json.loads((run / "metadata.json").read_text())["statistics"]["load"]
    assert len(load["workers"]) == 2
    for worker in load["workers"].values():
        assert 0 < worker["clock_uncertain_s"] < 0.02
        # This machine's clock is behind theirs by the shift.
        assert worker["clock_offset_s"] == pytest.approx(-SHIFT_S, abs=worker["clock_uncertain_s"] + 1e-3)
    with History(run) as history:
        (rows,) = history.query(
            "SELECT count(*), min(t_s), max(t_s), min(late_s), max(late_s) FROM load_sessions"
        )
        assert rows[0] == load["starts"]["sessions"] > 10
        # In the run's own time, whatever the clock there says.
        assert 0 <= rows[1] < rows[2] < 9
        assert -0.02 < rows[3] <= rows[4] < 0.5
        ((visits, first_s, last_s),) = history.query("SELECT count(*), min(t_s), max(t_s) FROM visits")
        assert visits > 50
        assert 0 < first_s < last_s < 9
        ((requests,),) = history.query("SELECT count(*) FROM load_requests")
        assert requests == load["locust"]["requests"]
    assert not left(state)


def test_a_worker_that_vanishes_is_an_error_that_names_it(state: Path, elsewhere: Elsewhere) -> None:
    brought, running = begin(state, elsewhere, 1)
    try:
        until(lambda: bool(list(state.glob("run-*/disks/backend-*"))), running)
        # Locust's process is the only child of `harness load worker`.
        (locust,) = children(_python(brought[0].pid))
        os.kill(locust, signal.SIGKILL)
        said = running.communicate(timeout=60)[0]
    finally:
        end(brought)
    assert running.returncode == 3, said
    assert "a worker of the load, is lost" in said
    assert not left(state)


def _python(pid: int) -> int:
    """The `harness load worker` below `ip netns exec` and `unshare`, which may fork."""
    while Path(f"/proc/{pid}/exe").resolve() != Path(sys.executable).resolve():
        (pid,) = children(pid)
    return pid


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
