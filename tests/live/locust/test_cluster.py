"""Locust as the load: the same clients at the same times as with the asyncio driver, raw rows, nobody lost unseen."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.experiment.load import Load
from harness.live.cleanup import run_remains
from harness.live.ledger import read
from harness.live.locust.connection import LoadFailed
from harness.live.options import LiveOptions, LoadSettings
from harness.live.resources import Fault, Process, Resource
from harness.live.run_lock import STATE_VARIABLE
from harness.live.runtime import LiveRuntime
from harness.runtime.contract import NotReady, RunSettings, ServiceFailure, Session
from harness.workload.driver import LoadDriver, LoadResult
from harness.workload.records import LATE_S, LoadRequest, LoadSession
from harness.workload.schedule import scheduled_arrivals
from tests.live.support import require_kernel
from tests.support import fragile_system
from tests.support.toy_system import Visit, system

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        importlib.util.find_spec("locust") is None, reason="the extra 'load' is not installed"
    ),
]

REFERENCE = "tests.support.toy_system:system"
LOADS = {"shoppers": Load.model_validate({"arrive": "8/s", "for": "2s", "mix": "all"})}
SEED = 7


@dataclass
class Seen:
    driven: LoadResult
    statistics: dict[str, Any]
    visits: list[Visit]
    sessions: list[LoadSession]
    requests: list[LoadRequest]
    failures: Sequence[ServiceFailure]


def run(load: LoadSettings, body: Callable[[Session, LoadDriver], Any]) -> Any:
    async def main(session: Session) -> Any:
        return await body(session, session.driver(LOADS, seed=SEED, drain_s=1))

    return LiveRuntime(LiveOptions(load=load)).run(RunSettings(system, SEED, reference=REFERENCE), main)


async def to_the_end(session: Session, driver: LoadDriver) -> Seen:
    driven = await driver.run()
    return Seen(
        driven,
        dict(driver.statistics()),
        [record.row for record in session.records if isinstance(record.row, Visit)],
        [row for row in driver.records if isinstance(row, LoadSession)],
        [row for row in driver.records if isinstance(row, LoadRequest)],
        session.failures,
    )


@pytest.fixture(autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path_factory.mktemp("state")
    monkeypatch.setenv(STATE_VARIABLE, str(directory))
    return directory


def left(state: Path) -> str:
    runs = [int(lock.stem.removeprefix("run-")) for lock in state.glob("run-*.lock")]
    # Not the listeners: the addresses may be another run's by now.
    kinds = ("process", "files")
    return "; ".join(
        item.description for run in runs for item in run_remains(state, run) if item.kind in kinds
    )


def who(seen: Seen) -> set[tuple[str, str, str]]:
    return {(visit.client, visit.zone, visit.group) for visit in seen.visits}


def test_the_same_clients_whoever_brings_them(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run(LoadSettings(), to_the_end)
    alone = run(LoadSettings("locust"), to_the_end)
    heard = tmp_path / "heard"
    monkeypatch.setenv("TESTS_LOCUST_PLUGIN", str(heard))
    spread = run(LoadSettings("locust", 2, plugins=("tests.support.locust_plugin",)), to_the_end)
    expected = list(scheduled_arrivals(SEED, LOADS))
    assert len(expected) > 10
    for seen in (plain, alone, spread):
        assert seen.driven.arrived == len(expected)
        assert seen.driven.left + seen.driven.cancelled == seen.driven.arrived
        assert not seen.driven.failures
        assert not seen.failures
        assert seen.statistics["starts"]["sessions"] == len(expected)
    assert who(plain) == who(alone) == who(spread)
    for seen in (alone, spread):
        sessions = sorted(seen.sessions, key=lambda session: session.index)
        assert [session.index for session in sessions] == sorted(arrival.index for arrival in expected)
        start_s = sessions[0].intended_s - expected[0].at_s
        for session, arrival in zip(sessions, expected, strict=True):
            assert session.intended_s == pytest.approx(start_s + arrival.at_s, abs=1e-9)
            assert session.late_s == session.t_s - session.intended_s
            # Nobody is early, and the schedule waits for nobody.
            assert -0.001 <= session.late_s < 0.5
            assert session.left_s is not None
            assert session.left_s > session.t_s
        requests_agree(seen)
    assert {session.worker for session in alone.sessions} == {"locust"}
    shares = [sum(s.worker == name for s in spread.sessions) for name in ("locust-1", "locust-2")]
    assert sum(shares) == len(expected)
    assert abs(shares[0] - shares[1]) <= 1
    # What listens to Locust's events hears of every request, in whatever process.
    lines = heard.read_text().splitlines()
    assert sorted(map(float, lines)) == pytest.approx(sorted(1e3 * r.latency_s for r in spread.requests))
    assert not left(state)


def requests_agree(seen: Seen) -> None:
    """Every request is counted once: in our rows, in Locust's statistics, and by the client itself."""
    assert seen.statistics["locust"]["requests"] == len(seen.requests)
    answered = [request for request in seen.requests if request.complete]
    assert len(answered) == len(seen.visits)
    pairs = list(
        zip(
            sorted(seen.visits, key=lambda visit: (visit.client, visit.t_s)),
            sorted(answered, key=lambda request: (request.client, request.t_s)),
            strict=True,
        )
    )
    for visit, request in pairs:
        assert visit.client == request.client
        # The client measured around it, in the same clock.
        assert visit.t_s - visit.latency_s <= request.started_at_s < request.t_s <= visit.t_s
    assert statistics.median(visit.latency_s - request.latency_s for visit, request in pairs) < 0.003
    for request in answered:
        assert request.latency_s == request.t_s - request.started_at_s
        assert request.first_byte_s is not None
        assert 0 < request.first_byte_s <= request.latency_s
        assert request.path == "/home"
        assert request.bytes > 0


def test_defects_of_clients_are_reported_as_ever(state: Path) -> None:
    loads = {"visitors": Load.model_validate({"arrive": "8/s", "for": "1s", "mix": "all"})}
    assert len(list(scheduled_arrivals(SEED, loads))) > 3

    async def body(session: Session) -> tuple[LoadResult, LoadDriver, Sequence[ServiceFailure]]:
        driver = session.driver(loads, seed=SEED, drain_s=2)
        return await driver.run(), driver, session.failures

    settings = RunSettings(fragile_system.system, SEED, reference="tests.support.fragile_system:system")
    driven, driver, failures = LiveRuntime(LiveOptions(load=LoadSettings("locust", 2))).run(settings, body)
    assert driven.left == driven.arrived
    (failed,) = driven.failures
    assert failed.client == "visitor-1"
    assert failed.error.startswith("LookupError: no such film (tests/support/fragile_system.py:")
    (undeclared,) = failures
    assert undeclared.host == "visitor-2"
    assert undeclared.error.startswith("HostError: emitted a Secret")
    errors = {row.client: row.error for row in driver.records if isinstance(row, LoadSession)}
    assert errors.pop("visitor-1") == failed.error
    assert set(errors.values()) == {None}
    assert not left(state)


@pytest.mark.parametrize("settings", [LoadSettings(), LoadSettings("locust")], ids=["asyncio", "locust"])
def test_who_comes_late_is_measured_and_the_others_do_not_wait(state: Path, settings: LoadSettings) -> None:
    """The process is stuck for a second when the first client comes: clients of that second are late by what is left
    of it, those after it are not."""
    loads = {"visitors": Load.model_validate({"arrive": "12/s", "for": "3s", "mix": "stuck"})}
    at_s = [arrival.at_s for arrival in scheduled_arrivals(SEED, loads)]
    stuck = [at for at in at_s if at_s[0] < at < at_s[0] + fragile_system.STUCK_S]
    expected = sum(at_s[0] + fragile_system.STUCK_S - at > LATE_S for at in stuck)
    assert expected > 3

    async def body(session: Session) -> tuple[LoadResult, LoadDriver]:
        driver = session.driver(loads, seed=SEED, drain_s=1)
        return await driver.run(), driver

    told = RunSettings(fragile_system.system, SEED, reference="tests.support.fragile_system:system")
    driven, driver = LiveRuntime(LiveOptions(load=settings)).run(told, body)
    assert driven.arrived == driven.left == len(at_s)
    starts = driver.statistics()["starts"]
    # As many as the schedule says, and those that a busy machine adds while it catches up.
    caught_up_s = at_s[0] + fragile_system.STUCK_S + 0.5
    assert expected <= starts["late"] <= sum(at_s[0] < at < caught_up_s for at in at_s)
    max_s = at_s[0] + fragile_system.STUCK_S - at_s[1]
    assert max_s - 0.01 < starts["max_s"] < max_s + 0.5
    assert starts["median_s"] < LATE_S


def test_in_a_kernel_network_too(state: Path) -> None:
    require_kernel()

    async def body(session: Session) -> tuple[LoadResult, LoadDriver]:
        driver = session.driver(LOADS, seed=SEED, drain_s=1)
        return await driver.run(), driver

    settings = RunSettings(system, SEED, reference=REFERENCE)
    driven, driver = LiveRuntime(LiveOptions("kernel", LoadSettings("locust", 2))).run(settings, body)
    assert driven.arrived == len(list(scheduled_arrivals(SEED, LOADS)))
    assert not driven.failures
    requests = [row for row in driver.records if isinstance(row, LoadRequest)]
    assert {request.worker for request in requests} == {"locust-1", "locust-2"}
    assert {request.error for request in requests} <= {None, "cut off"}
    assert sum(request.complete for request in requests) > len(requests) / 2
    assert not left(state)


def test_a_plugin_that_is_not_there_is_named(state: Path) -> None:
    with pytest.raises(NotReady, match=r"--locust-plugin tests\.support\.no_such: No module named"):
        run(LoadSettings("locust", plugins=("tests.support.no_such",)), to_the_end)
    assert not left(state)


@pytest.mark.parametrize(
    ("workers", "victim", "by", "said"),
    [
        (1, "locust", signal.SIGKILL, r"locust, .* ended \(status -9\)"),
        (2, "locust-2", signal.SIGKILL, r"locust-2, .* ended \(status -9\)"),
        (2, "locust-2", signal.SIGSTOP, r"locust-2, .* is lost: Locust's master no longer hears from it"),
        (1, "locust", signal.SIGSTOP, r"locust, .* sent nothing for 2 s"),
    ],
)
def test_a_process_of_the_load_that_dies_ends_the_run(
    state: Path, monkeypatch: pytest.MonkeyPatch, workers: int, victim: str, by: signal.Signals, said: str
) -> None:
    """Its clients are not silently fewer: the load fails, by the name of the process."""
    monkeypatch.setattr("harness.live.locust.connection.SILENT_S", 2.0 if workers == 1 else 30.0)
    monkeypatch.setattr("harness.live.locust.driver.LEAVE_S", 1.0)
    monkeypatch.setattr("harness.live.locust.driver.SLACK_S", 1.0)

    async def body(session: Session, driver: LoadDriver) -> None:
        running = asyncio.ensure_future(driver.run())
        while driver.arrived < 3:
            await session.clock.sleep(0.02)
        os.kill(process(state, victim), by)
        await running

    with pytest.raises(LoadFailed, match=said):
        run(LoadSettings("locust", workers), body)
    assert not left(state)


def process(state: Path, what: str) -> int:
    return next(one.pid for one in resources(state) if isinstance(one, Process) and one.name == what)


def resources(state: Path) -> list[Resource]:
    """What the run has written down so far."""
    return [one for file in state.glob("run-*.ledger") for one in read(file)]


# ---------------------------------------------------------------------- the whole way


EXPERIMENT = """
experiment: shop-by-locust
title: Nobody notices that a backend is killed
system: tests.support.toy_system:system
load:
  shoppers: {arrive: 4/s, for: 7s, mix: brief}
drain: 4s
timeline:
  - {at: 5s, for: 1s, fault: crash, target: {node: backend-east}}
gates:
  - {slo: visits}
"""

SLOS = """
visits:
  protects: people get their offers
  table: visits
  good: ok
  target: 90%
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    (tmp_path / "slos.yaml").write_text(SLOS)
    file = tmp_path / "shop.chaos.yaml"
    file.write_text(EXPERIMENT)
    return file


def harness(*arguments: str | Path, before: Sequence[str] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*before, sys.executable, "-m", "harness", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until(holds: Callable[[], bool], running: subprocess.Popen[str], limit_s: float = 30.0) -> None:
    deadline_s = time.perf_counter() + limit_s
    while not holds():
        assert running.poll() is None, running.communicate()[0]
        assert time.perf_counter() < deadline_s, "it did not come to that in time"
        time.sleep(0.02)  # noqa: TID251


def test_asked_to_end_it_undoes_its_faults_and_sees_clients_out(state: Path, experiment: Path) -> None:
    reports = experiment.parent / "reports"
    options = ("--runtime", "live", "--locust-workers", "2", "--reports", str(reports))
    with harness("run", experiment, *options) as running:
        until(lambda: any(isinstance(one, Fault) for one in resources(state)), running)
        running.send_signal(signal.SIGTERM)
        said = running.communicate(timeout=30)[0]
    assert running.returncode == 130
    assert "every fault in force was undone first" in said
    assert not left(state)
