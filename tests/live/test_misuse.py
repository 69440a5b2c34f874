"""A misuse of the host on a path that only a fault reaches, in nodes and in clients of both drivers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.experiment.load import Load
from harness.live.options import LiveOptions, LoadSettings
from harness.live.run_lock import STATE_VARIABLE
from harness.live.runtime import LiveRuntime
from harness.runtime.contract import RunSettings, Session
from tests.live.support import remains
from tests.support import misuse_system

pytestmark = pytest.mark.live


@pytest.mark.parametrize("load", [LoadSettings(), LoadSettings("locust")], ids=["asyncio", "locust"])
def test_a_misuse_that_the_service_hides_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: LoadSettings
) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    loads = {"shoppers": Load.model_validate({"arrive": "6/s", "for": "2s", "mix": "all"})}

    async def body(session: Session) -> list[str]:
        async def crash() -> None:
            await asyncio.sleep(1)
            killed = await session.primitives.kill("backend-east")
            await asyncio.sleep(1)
            await killed.undo()

        async with asyncio.TaskGroup() as group:
            group.create_task(crash())
            await session.driver(loads, seed=1, drain_s=1).run()
        return [failure.error for failure in sorted(session.failures, key=lambda failure: failure.t_s)]

    settings = RunSettings(misuse_system.system, 1, reference="tests.support.misuse_system:system")
    misuse_system.check_failures(LiveRuntime(LiveOptions(load=load)).run(settings, body))
    assert not remains(tmp_path)
