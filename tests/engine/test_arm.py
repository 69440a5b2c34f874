"""One arm of the toy system in virtual time: what is recorded, and what breaks."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.engine.arm import ArmRun, Interrupted, run_arm
from harness.engine.events import EngineEvent, FaultChanged, Progress
from harness.engine.plan import make_plan
from harness.faults.primitives import Applied, FaultFailed, Primitives, ResolvedTarget
from harness.sim.runtime import SimRuntime
from harness.system import Event
from tests.engine.support import experiment_text, load, of_type


def run(tmp_path: Path, text: str, arm: int = 0, emit: object = None) -> tuple[ArmRun, list[EngineEvent]]:
    (loaded,) = load(tmp_path, text)
    planned = make_plan(loaded, 1)
    events: list[EngineEvent] = []
    done = run_arm(SimRuntime(), loaded.system, planned, planned.arms[arm], emit or events.append)  # type: ignore[arg-type]
    return done, events


def test_an_arm_has_load_and_fault(tmp_path: Path) -> None:
    done, events = run(tmp_path, experiment_text())
    (crash,) = done.metadata.faults
    assert crash.error is None
    assert crash.targets == ("backend-east",)
    assert crash.applied_at_s == pytest.approx(8, abs=0.01)
    assert crash.undone_at_s is not None
    assert 16 <= crash.undone_at_s < 16.5
    assert crash.exposure.connects_blocked > 0
    assert done.metadata.failures == ()
    assert done.metadata.statistics["clients"] > 30
    starts = done.metadata.statistics["load"]["starts"]
    assert starts["sessions"] == done.metadata.statistics["clients"]
    assert starts["max_s"] == pytest.approx(0, abs=1e-9)
    retries = [r.t_s for r in done.records if isinstance(r.row, Event) and r.row.name == "gateway.retry"]
    assert retries
    assert all(8 <= t_s <= 16.5 for t_s in retries)
    changes = [(event.change, event.targets) for event in of_type(events, FaultChanged)]
    assert changes == [("applied", ("backend-east",)), ("undone", ("backend-east",))]


def test_an_arm_runs_without_its_safeguards(tmp_path: Path) -> None:
    done, _ = run(tmp_path, experiment_text(), arm=1)
    assert done.metadata.arm == "without gateway.retry, gateway.fallback"
    assert done.metadata.without == ("gateway.fallback", "gateway.retry")
    names = {record.row.name for record in done.records if isinstance(record.row, Event)}
    assert not names & {"gateway.retry", "gateway.fallback"}
    assert any(getattr(record.row, "ok", True) is False for record in done.records)


def test_progress_is_limited_to_an_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.engine.arm.PROGRESS_INTERVAL_S", 0.0)
    _, events = run(tmp_path, experiment_text(timeline="", arms=""))
    progress = of_type(events, Progress)
    assert len(progress) >= 20
    assert all(event.total_s == 40 for event in progress)
    assert [event.done_s for event in progress] == sorted(event.done_s for event in progress)
    assert max(event.clients for event in progress) > 10
    monkeypatch.setattr("harness.engine.arm.PROGRESS_INTERVAL_S", 1000.0)
    _, events = run(tmp_path, experiment_text(timeline="", arms=""))
    assert len(of_type(events, Progress)) == 1


def test_a_fault_that_cannot_be_applied_is_recorded_and_the_load_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: object, target: ResolvedTarget, primitives: Primitives) -> Applied:
        raise FaultFailed("no permission")

    monkeypatch.setattr("harness.faults.crash.Crash.apply", refuse)
    done, events = run(tmp_path, experiment_text())
    (crash,) = done.metadata.faults
    assert crash.error == "could not be applied: no permission"
    assert crash.applied_at_s is None
    assert [event.change for event in of_type(events, FaultChanged)] == ["failed"]
    assert len(done.records) > 100


def test_a_system_that_does_not_start_is_a_failure_and_the_fault_never_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(self: object) -> None:
        raise RuntimeError("the gateway did not come up")

    monkeypatch.setattr("harness.sim.runtime.SimSession._start", start)
    done, _ = run(tmp_path, experiment_text())
    (failure,) = done.metadata.failures
    assert failure.startswith(
        "sim runtime: RuntimeError: the gateway did not come up (tests/engine/test_arm.py:"
    )
    (crash,) = done.metadata.faults
    assert crash.applied_at_s is None


def test_a_defect_of_the_timeline_ends_the_arm_and_is_a_failure(tmp_path: Path) -> None:
    def broken(event: EngineEvent) -> None:
        if isinstance(event, FaultChanged) and event.change == "applied":
            raise RuntimeError("nobody listens")

    done, _ = run(tmp_path, experiment_text(), emit=broken)
    assert done.metadata.failures[0].startswith(
        "timeline: RuntimeError: nobody listens (tests/engine/test_arm.py:"
    )
    (crash,) = done.metadata.faults
    assert crash.undone_at_s is not None


def test_a_client_whose_code_breaks_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def visit(host: object) -> None:
        raise ZeroDivisionError("a defect of the shopper")

    monkeypatch.setattr("tests.support.toy_system.visit", visit)
    done, _ = run(tmp_path, experiment_text(timeline="", arms=""))
    (failure,) = done.metadata.failures
    assert failure.startswith("shopper-0 at ")
    assert "ZeroDivisionError: a defect of the shopper (tests/engine/test_arm.py:" in failure
    others = int(failure.rpartition("also ")[2].split()[0])
    assert others > 30


@pytest.fixture
def _ctrl_c() -> Iterator[None]:
    """SIGINT as a command finds it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
def test_an_interrupt_undoes_the_faults_first(tmp_path: Path) -> None:
    events: list[EngineEvent] = []

    def interrupt(event: EngineEvent) -> None:
        events.append(event)
        if isinstance(event, FaultChanged) and event.change == "applied":
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted) as raised:
        run(tmp_path, experiment_text(), emit=interrupt)
    assert "of arm main; every fault in force was undone first" in str(raised.value)
    assert [event.change for event in of_type(events, FaultChanged)] == ["applied", "undone"]
    assert of_type(events, FaultChanged)[1].at_s < 9
    assert isinstance(raised.value, KeyboardInterrupt)


@pytest.mark.usefixtures("_ctrl_c")
def test_a_fault_that_is_stuck_at_an_interrupt_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stuck(self: object) -> None:
        raise FaultFailed("it hangs")

    def interrupt(event: EngineEvent) -> None:
        if isinstance(event, FaultChanged) and event.change == "applied":
            monkeypatch.setattr("harness.runtime.primitives.AppliedPrimitive.undo", stuck)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(
        Interrupted, match=r"NOT undone: crash on backend-east: could not be undone: it hangs"
    ):
        run(tmp_path, experiment_text(), emit=interrupt)
