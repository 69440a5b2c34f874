"""The streaming service's player in Locust's processes: the same player, over real HTTP, and nothing is lost of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from harness.experiment.load import Load
from harness.live.options import LiveOptions, LoadSettings
from harness.live.run_lock import STATE_VARIABLE
from harness.live.runtime import LiveRuntime
from harness.runtime.contract import RunSettings, Session
from harness.workload.records import LoadRequest, LoadSession
from systems.streaming.records import RequestRow, SessionRow
from systems.streaming.system import system

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        importlib.util.find_spec("locust") is None, reason="the extra 'load' is not installed"
    ),
]

LOADS = {"viewers": Load.model_validate({"arrive": "2/s", "for": "4s", "mix": "zapping"})}


def test_viewers_watch_by_locust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))

    async def body(session: Session) -> None:
        driver = session.driver(LOADS, seed=2, drain_s=6)
        driven = await driver.run()
        assert not driven.failures
        assert not session.failures
        rows = [record.row for record in session.records]
        sessions = {row.client: row for row in driver.records if isinstance(row, LoadSession)}
        seen = {row.session: row for row in rows if isinstance(row, SessionRow)}
        assert len(sessions) == driven.arrived > 4
        # Each viewer presses play within seconds, and has one row.
        assert set(seen) == set(sessions)
        assert all(row.outcome in ("completed", "left") for row in seen.values())
        assert sum(row.segments for row in seen.values()) > 20
        check_requests(
            [row for row in rows if isinstance(row, RequestRow)],
            [row for row in driver.records if isinstance(row, LoadRequest)],
        )
        counted = driver.statistics()["locust"]
        assert counted["requests"] == sum(isinstance(row, LoadRequest) for row in driver.records)
        assert any(name.startswith("GET edge /v") for name in counted["by_name"])

    LiveRuntime(LiveOptions(load=LoadSettings("locust"))).run(
        RunSettings(system, 2, reference="streaming"), body
    )


def check_requests(reported: list[RequestRow], raw: list[LoadRequest]) -> None:
    """Whatever the player reports is among the raw requests, with the same bytes, in about the same time."""
    assert len(raw) >= len(reported) > 30
    for row in reported:
        (request,) = (
            each
            for each in raw
            if each.client == row.session and abs(each.started_at_s - row.started_at_s) < 0.02
            and each.target == row.target and each.t_s <= row.t_s
        )  # fmt: skip
        assert request.status == row.status
        if row.kind == "segment" and row.status == 200:
            assert request.bytes == row.bytes
            assert request.complete or row.bytes
        assert request.latency_s <= row.latency_s
        assert row.latency_s - request.latency_s < 0.25
