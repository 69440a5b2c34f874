"""What sessions record while they run: heartbeats, and where the bytes of video came from."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from harness.system import Host
from systems.streaming.player.heartbeats import Heartbeats
from tests.streaming.player_world import Seen, visit
from tests.streaming.test_player_viewer import APPLIANCES, kill


async def never(_: web.Request, host: Host) -> web.StreamResponse | None:
    await asyncio.Event().wait()
    return None


def states(seen: Seen) -> list[str]:
    return [beat.state for beat in seen.heartbeats]


def test_an_interval_ends_at_each_multiple_of_ten_seconds_and_with_the_session() -> None:
    heartbeats = Heartbeats(4.0)
    heartbeats.cut(10.0, started=True, played_s=5.0)
    heartbeats.cut(20.0, started=True, stalled=True, played_s=12.0, stall_s=3.0, stalls=1)
    heartbeats.cut(21.0, started=True, played_s=13.0, stall_s=3.0, stalls=1)
    assert [
        (beat.start_s, beat.end_s, beat.played_s, beat.stall_s, beat.stalls) for beat in heartbeats.ended
    ] == [
        (4.0, 10.0, 5.0, 0.0, 0),
        (10.0, 20.0, 7.0, 3.0, 1),
        (20.0, 21.0, 1.0, 0.0, 0),
    ]


def test_heartbeats_add_up_to_the_session() -> None:
    seen = visit(watch_s=35)
    assert states(seen) == ["playing", "playing", "playing", "ended"]
    assert [beat.t_s for beat in seen.heartbeats[:3]] == [10, 20, 30]
    assert sum(beat.played_s for beat in seen.heartbeats) == pytest.approx(seen.row.played_s)
    assert {beat.intent_s for beat in seen.heartbeats} == {seen.row.started_at_s}


def test_a_running_session_fails_in_the_interval_in_which_it_stalls() -> None:
    seen = visit(watch_s=60, acts={12: kill(*APPLIANCES)}, leave_at_s=45)
    assert seen.row.outcome == "playback_failure"
    assert states(seen)[0] == "playing"
    assert states(seen)[-1] == "failed"
    assert "stalled" in states(seen)
    assert sum(beat.stall_s for beat in seen.heartbeats) == pytest.approx(seen.row.stall_s)
    assert sum(beat.stalls for beat in seen.heartbeats) == seen.row.stalls == 1


def test_a_viewer_sent_away_in_a_stall_was_waiting() -> None:
    seen = visit(watch_s=60, acts={4: kill(*APPLIANCES)}, leave_at_s=25)
    assert seen.row.outcome == "left"
    assert 0.25 < seen.row.waiting_s < 10
    assert states(seen)[-1] == "stalled"


@pytest.mark.parametrize("nodes", [APPLIANCES, ("gateway-east-1", "gateway-west-1")])
def test_who_waits_for_a_start_has_heartbeats_too(nodes: tuple[str, ...]) -> None:
    seen = visit(scripts=dict.fromkeys(nodes, never))
    assert seen.row.startup_s is None
    assert states(seen) == ["starting"] * (len(seen.heartbeats) - 1) + ["failed"]
    assert seen.heartbeats[-1].startup_wait_s == pytest.approx(seen.row.waiting_s)
    assert seen.row.waiting_s > 5


def test_each_byte_is_local_or_has_a_reason() -> None:
    async def not_held(request: web.Request, _: Host) -> web.StreamResponse | None:
        return web.Response(status=503, headers={"X-Cache": "miss"})

    async def fails(request: web.Request, _: Host) -> web.StreamResponse | None:
        return web.Response(status=503)

    edges = ("edge-a-1", "edge-a-2")
    local, content, health = (
        visit(scripts=dict.fromkeys(edges, script) if script else None) for script in (None, not_held, fails)
    )
    for seen, column in (
        (local, "bytes_local"),
        (content, "bytes_content_miss"),
        (health, "bytes_health_miss"),
    ):
        assert getattr(seen.row, column) == seen.row.bytes_total > 0
        assert {request.locality for request in seen.of("segment") if request.ok} == {
            column.removeprefix("bytes_").replace("_", " ")
        }
