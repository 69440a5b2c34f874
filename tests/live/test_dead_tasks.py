"""A background task that dies is reported in both worlds, though something refers to it; an awaited one is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.live.options import LiveOptions
from harness.live.run_lock import STATE_VARIABLE
from harness.live.runtime import LiveRuntime
from harness.runtime.contract import RunSettings, Runtime, Session
from harness.sim.runtime import SimRuntime
from tests.support.dying_system import system


def reported(runtime: Runtime) -> list[str]:
    async def body(session: Session) -> list[str]:
        await session.clock.sleep(0.5)
        assert not session.statistics()["broken_since_s"]
        await session.settle()
        return list(session.statistics()["broken_since_s"])

    return runtime.run(RunSettings(system, 1, reference="tests.support.dying_system:system"), body)


@pytest.mark.parametrize("world", ["sim", pytest.param("live", marks=pytest.mark.live)])
def test_a_task_that_nobody_looks_at_is_a_defect(
    world: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    (found,) = reported(SimRuntime() if world == "sim" else LiveRuntime(LiveOptions()))
    assert found.startswith("api-1: ")
    assert "KeyError" in found
    assert "unnoticed" in found
