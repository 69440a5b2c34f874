"""What a player must survive though nothing is down: missing renditions, pages of portals, slow and late appliances."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from harness.faults.primitives import EndpointMatch, LinkShape, PathMatch
from harness.runtime.contract import Session
from harness.system import Access, Host
from systems.streaming.content.catalogue import LADDER, SEGMENT_S
from systems.streaming.player.playback import End, Pause, Playback
from systems.streaming.player.sources import Sources
from tests.streaming.player_world import URLS, Script, visit

APPLIANCES = ("edge-a-1", "edge-a-2", "storage-1")


def on_video(answer: Callable[[web.Request], web.StreamResponse | None]) -> Script:
    async def script(request: web.Request, host: Host) -> web.StreamResponse | None:
        return answer(request) if request.path.startswith("/v/") else None

    return script


@pytest.mark.parametrize("abr", ["bola", "throughput"])
@pytest.mark.parametrize("rendition", ["0", "7"])
def test_a_rendition_that_nobody_has_costs_quality_only(abr: str, rendition: str) -> None:
    def missing(request: web.Request) -> web.StreamResponse | None:
        return web.json_response({}, status=404) if request.path.split("/")[3] == rendition else None

    seen = visit(abr=abr, watch_s=120, scripts=dict.fromkeys(APPLIANCES, on_video(missing)))
    assert (seen.row.outcome, seen.row.stalls) == ("completed", 0)
    assert len([request for request in seen.of("segment") if request.status == 404]) <= 6
    assert {request.target for request in seen.of("segment")[-5:]} == {"edge-a-1"}  # no appliance is to blame


def test_an_appliance_without_one_segment_is_left_once() -> None:
    def missing(request: web.Request) -> web.StreamResponse | None:
        return web.json_response({}, status=404) if request.path.endswith("/5") else None

    row = visit(watch_s=60, scripts={"edge-a-1": on_video(missing)}).row
    assert (row.outcome, row.stalls, row.failovers) == ("completed", 0, 1)


PORTAL = "<html>please sign in</html>" * 100_000


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(body=b"0123456789", content_type="video/mp4"),
        lambda: web.Response(text=PORTAL, content_type="text/html"),
        lambda: web.json_response({"ok": True}),
    ],
)
def test_not_every_200_is_a_film(answer: Callable[[], web.Response]) -> None:
    script = on_video(lambda _: answer())
    one = visit(watch_s=60, scripts={"edge-a-1": script})
    assert (one.row.outcome, one.row.stalls, one.row.failovers) == ("completed", 0, 1)
    everywhere = visit(watch_s=60, scripts=dict.fromkeys(APPLIANCES, script))
    assert everywhere.row.outcome == "start_failure"
    assert everywhere.row.played_s == 0


def limit(node: str, bandwidth_bps: float) -> Callable[[Session], Awaitable[object]]:
    path = PathMatch(EndpointMatch(nodes=frozenset({node})), EndpointMatch(everything=True))
    return lambda session: session.primitives.shape(path, LinkShape(bandwidth_bps=bandwidth_bps))


def test_a_slow_appliance_is_left_within_ten_seconds() -> None:
    seen = visit(watch_s=120, acts={30.0: limit("edge-a-1", 200e3)})
    first = seen.named("player.failover")[0]
    assert first.fields["to"] == "edge-a-2"
    after = [request.target for request in seen.of("segment") if request.started_at_s > 40]
    assert after.count("edge-a-2") > 0.9 * len(after)
    assert (seen.row.outcome, seen.row.stalls) == ("completed", 0)


def test_a_slow_network_is_not_blamed_on_appliances() -> None:
    """Everything is slow: one other appliance is tried, and then none is left for a minute."""
    seen = visit(watch_s=60, access=Access(down_bps=200e3, up_bps=1e6, rtt_s=0.05))
    assert 1 <= len(seen.named("player.failover")) <= 2


def test_a_connection_that_is_not_made_in_time_excludes_nobody_for_long() -> None:
    sources = Sources(URLS, failover=True)
    assert sources.failed(0.0, not_reached=True)
    sources.rank(URLS, 4.0)
    assert sources.current == URLS[0]
    assert sources.failed(5.0, not_reached=True)  # again: it is not one lost packet
    sources.rank(URLS, 30.0)
    assert sources.current == URLS[1]


def test_appliances_that_are_all_late_are_waited_for() -> None:
    """3.1 s before the first byte, everywhere: a fixed time-out of 3 s would turn late into never."""

    async def late(request: web.Request, host: Host) -> web.StreamResponse | None:
        if request.path.startswith("/v/"):
            await asyncio.sleep(3.1)
        return None

    seen = visit(watch_s=60, scripts=dict.fromkeys(APPLIANCES, late))
    assert seen.row.outcome == "completed"
    failed = [request for request in seen.of("segment") if not request.ok]
    assert len(failed) <= 3


@pytest.mark.parametrize(
    ("status", "headers", "body", "asked"),
    [
        (200, {}, {"urls": URLS, "ttl_s": 5}, range(30, 42)),
        (200, {}, {"urls": URLS}, range(5, 8)),
        (429, {"Retry-After": "300"}, {}, range(1, 2)),
        (503, {"Retry-After": "90"}, {}, range(2, 3)),
        (410, {}, {}, range(1, 2)),
    ],
)
def test_steering_is_asked_when_it_says_so(
    status: int, headers: dict[str, str], body: dict[str, object], asked: range
) -> None:
    async def steer(request: web.Request, host: Host) -> web.StreamResponse | None:
        return web.json_response(body, status=status, headers=headers) if request.path == "/steer" else None

    seen = visit(watch_s=200, scripts={"gateway-east-1": steer, "gateway-west-1": steer})
    assert len(seen.of("steer")) in asked
    assert seen.row.outcome == "completed"


@pytest.mark.parametrize("rate_kbps", [450, 900, 1400, 1900, 2600])
@pytest.mark.parametrize("rule", ["bola", "throughput"])
def test_a_constant_rate_gives_a_steady_picture(rule: str, rate_kbps: int) -> None:
    playback = Playback(
        segment_s=SEGMENT_S,
        segments=100,
        bitrates_kbps=LADDER,
        watch_s=390,
        rule=rule,
        adapt=True,
        intent_s=0.0,
    )
    now_s, chosen = 0.0, list[int]()
    while not isinstance(step := playback.next(now_s), End):
        if isinstance(step, Pause):
            now_s = step.until_s
            continue
        n_bytes = round(LADDER[step.quality] * 125 * SEGMENT_S)
        took_s = 0.02 + n_bytes / (rate_kbps * 125)
        now_s += took_s
        playback.arrived(now_s, step.quality, n_bytes, took_s, 0.02)
        chosen.append(step.quality)
    steady = chosen[20:]
    assert playback.stall_count == 0
    assert sum(a != b for a, b in itertools.pairwise(steady)) <= len(steady) / 10
