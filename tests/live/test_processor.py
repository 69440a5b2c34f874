"""Work queues for processor cores live as it does in virtual time, and a limit acts on it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.live.options import LiveOptions
from harness.live.run_lock import STATE_VARIABLE
from harness.live.runtime import LiveRuntime
from harness.runtime.contract import RunSettings, Runtime, Session
from harness.sim.runtime import SimRuntime
from harness.system import Access, Client, ProcessorSlice
from tests.support.costly_system import system

SETTINGS = RunSettings(system, 1, reference="tests.support.costly_system:system")
TOGETHER = 15


async def _ask_together(session: Session) -> tuple[list[float], list[ProcessorSlice]]:
    """How long each of requests sent at once takes, and what was recorded of the processor."""
    found = []
    async with session.client(Client("c", "here", "any", Access(1e9, 1e9, 0.001)), "caller") as host:
        began_s = session.clock.now()

        async def ask() -> None:
            async with host.http("api").get("/") as answer:
                await answer.read()
            found.append(session.clock.now() - began_s)

        await asyncio.gather(*(ask() for _ in range(TOGETHER)))
        await session.clock.sleep(2.5)
    rows = [record.row for record in session.records if isinstance(record.row, ProcessorSlice)]
    return found, rows


def _run(runtime: Runtime) -> tuple[list[float], list[ProcessorSlice]]:
    return runtime.run(SETTINGS, _ask_together)


@pytest.mark.live
def test_requests_queue_for_the_core_in_both_worlds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    sim, sim_rows = _run(SimRuntime())
    live, live_rows = _run(LiveRuntime(LiveOptions()))
    assert sim[-1] == pytest.approx(0.020 * TOGETHER, abs=0.01)
    # The machine's timers and its real work come on top: never sooner, and not by much.
    assert sim[-1] - 0.01 <= live[-1] <= sim[-1] + 0.5
    for rows in (sim_rows, live_rows):
        assert sum(row.started for row in rows) == TOGETHER
        assert max(row.queue_max for row in rows) == TOGETHER - 1
        assert {row.node for row in rows} == {"api-1"}
