"""Faults from within a node's host, the same in virtual time and on real processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from harness.faults.primitives import Applied, ClockRule, DiskRule, HttpRule, NameRule
from harness.live.options import LiveOptions
from harness.live.run_lock import STATE_VARIABLE
from harness.live.runtime import LiveRuntime
from harness.runtime.contract import RunSettings, Session
from harness.sim.runtime import SimRuntime
from harness.system import Access, Client
from tests.live.support import remains
from tests.support.host_faults_system import system

SETTINGS = RunSettings(system, 1, reference="tests.support.host_faults_system:system")


async def body(session: Session) -> None:
    do = session.primitives
    async with session.client(Client("caller", "here", "any", Access(1e8, 1e8, 0.01)), "caller") as host:

        async def get(path: str) -> Any:
            async with host.http("asked").get(path) as answer:
                return await answer.json()

        async def end(applied: Applied, requests: int) -> None:
            await applied.undo()
            # The date of each answer is a reading of the clock, too.
            assert requests <= applied.exposure().counted.requests <= requests + 1

        before = await get("/clock")
        skew = await do.skew("asked", ClockRule(-60))
        assert [now - then for now, then in zip(await get("/clock"), before, strict=True)] == pytest.approx(
            [-60, -60], abs=0.5
        )
        await end(skew, 2)
        assert await get("/clock") == pytest.approx(before, abs=0.5)

        full = await do.disk("asked", DiskRule(error="full"))
        assert await get("/disk") == "ENOSPC"
        await end(full, 1)
        assert await get("/disk") == 100

        wrong = await do.resolve("asked", NameRule("other-*", "wrong", "other-2"))
        assert await get("/name") == "other-2"
        await end(wrong, 1)
        fails = await do.resolve("asked", NameRule("other-*", "error"))
        assert await get("/name") == "EAI_AGAIN"
        await end(fails, 1)
        assert await get("/name") == "other-1"

        cut = await do.interfere("asked", HttpRule("/config", body="cut"))
        with pytest.raises(aiohttp.ClientPayloadError):
            await get("/config")
        await end(cut, 1)
        page = await do.interfere("asked", HttpRule("/config", body="replaced"))
        async with host.http("asked").get("/config") as answer:
            assert (answer.status, answer.content_type) == (200, "text/html")
        await end(page, 1)

        deploy = await do.deploy("asked", {"version": 2})
        await deploy.undo()
        assert await get("/config") == {"version": 2, "kept": 7}


def test_in_virtual_time() -> None:
    SimRuntime().run(SETTINGS, body)


@pytest.mark.live
def test_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    LiveRuntime(LiveOptions()).run(SETTINGS, body)
    assert not remains(tmp_path)
