"""A viewer's whole visit against a scripted service, with everything around it breaking.

Every safeguard of the player is shown twice: with it the session goes on, without it the same break ends or
spoils it.
"""

from __future__ import annotations

import itertools

import pytest
from aiohttp import web

from harness.faults.primitives import EndpointMatch, HttpRule, LinkShape, PathMatch
from harness.runtime.contract import Session
from harness.system import Access, Host
from systems.streaming.content.catalogue import LADDER
from systems.streaming.control.tokens import GRACE_S, TTL_S, InvalidToken, bearer, mint, verify
from systems.streaming.player.client import SILENCE_TIMEOUT_S
from systems.streaming.player.playback import STALL_PATIENCE_S, STARTUP_PATIENCE_S
from systems.streaming.records import RequestRow
from systems.streaming.resilience.deadline import HEADER
from systems.streaming.resilience.retry_budget import NO_RETRY_HEADER
from tests.streaming.player_world import URLS, Act, Acts, Script, Seen, manifest, visit

VIEWER = EndpointMatch(nodes=frozenset({"viewer-0"}))
EVERYONE = EndpointMatch(everything=True)
GATEWAYS = ("gateway-east-1", "gateway-west-1")
APPLIANCES = ("edge-a-1", "edge-a-2", "storage-1")
SLOW_ACCESS = Access(down_bps=1e6, up_bps=1e6, rtt_s=0.05)


def kill(*nodes: str) -> Act:
    async def act(session: Session) -> None:
        for node in nodes:
            await session.primitives.kill(node)

    return act


def pause(node: str) -> Act:
    return lambda session: session.primitives.pause(node)


def interfere(node: str, rule: HttpRule) -> Act:
    return lambda session: session.primitives.interfere(node, rule)


def throttle(bandwidth_bps: float) -> Act:
    path = PathMatch(EVERYONE, VIEWER)
    return lambda session: session.primitives.shape(path, LinkShape(bandwidth_bps=bandwidth_bps))


def play_says(**changed: object) -> Script:
    async def script(request: web.Request, _: Host) -> web.StreamResponse | None:
        return web.json_response(manifest(**changed)) if request.path == "/play" else None

    return script


def targets(seen: Seen) -> list[str]:
    """Appliances in the order in which they were first used."""
    return [target for target, _ in itertools.groupby(seen.of("segment"), key=lambda row: row.target)]


# ---------------------------------------------------------------------- when all is well


def test_a_visit_when_all_is_well() -> None:
    seen = visit(watch_s=20)
    row = seen.row
    assert (row.outcome, row.error) == ("completed", None)
    assert row.startup_s is not None
    assert 0 < row.startup_s < 0.5
    assert row.played_s == pytest.approx(20)
    assert row.t_s == pytest.approx(row.started_at_s + row.startup_s + 20)
    assert (row.stall_s, row.stalls, row.failovers) == (0, 0, 0)
    assert (row.network_class, row.isp, row.title) == ("fibre", "isp-a", "title-000")
    assert [request.kind for request in seen.requests[:2]] == ["home", "play"]
    assert seen.of("home")[0].level == "personalised"
    assert {request.target for request in seen.of("segment")} == {"edge-a-1"}
    assert row.bytes_edge == sum(request.bytes for request in seen.of("segment"))
    assert row.bytes_storage == row.bytes_origin == 0
    assert all(request.ok and request.status == 200 for request in seen.requests)
    assert row.segments == len(seen.of("segment")) >= 5
    assert not seen.events


def test_a_fast_network_gets_to_the_top_of_the_ladder() -> None:
    for abr in ("bola", "throughput"):
        seen = visit(watch_s=60, abr=abr)
        assert seen.of("segment")[0].bitrate_kbps == LADDER[0]
        assert seen.of("segment")[-1].bitrate_kbps == LADDER[-1]
        assert LADDER[0] < seen.row.bitrate_kbps < LADDER[-1]
        assert seen.row.switches >= 1


def test_segments_are_fetched_in_order_over_one_connection_and_not_beyond_the_buffer() -> None:
    paths = []

    async def note(request: web.Request, _: Host) -> None:
        paths.append(request.path)

    seen = visit(watch_s=28, scripts={"edge-a-1": note})
    assert [int(path.split("/")[-1]) for path in paths] == list(range(len(paths)))
    assert seen.connections == 2, "one to a gateway, one to an appliance"
    buffers = [request.buffer_s for request in seen.of("segment")]
    assert all(level is not None and 0 < level <= 16.001 for level in buffers)


def test_says_who_it_is() -> None:
    headers = []

    async def note(request: web.Request, _: Host) -> None:
        headers.append(
            [request.headers.get(n) for n in ("X-Session", "X-Network-Class", "X-Isp", "Authorization")]
        )

    visit(scripts=dict.fromkeys(("gateway-east-1", "edge-a-1"), note))
    assert len(headers) > 5
    assert {tuple(each) for each in headers} == {("viewer-0", "fibre", "isp-a", "Bearer known")}


def test_the_same_seed_gives_the_same_session() -> None:
    one, other = (visit(acts={4: kill("edge-a-1"), 9: pause("edge-a-2")}, seed=3) for _ in range(2))
    assert one == other


# ---------------------------------------------------------------------- sign-in, home, play


def test_signs_in_when_it_has_no_token() -> None:
    tokens = []

    async def note(request: web.Request, _: Host) -> None:
        if request.path == "/play":
            tokens.append(request.headers.get("Authorization"))

    seen = visit(token=None, scripts={"gateway-east-1": note})
    assert [request.kind for request in seen.requests[:3]] == ["login", "home", "play"]
    assert tokens == ["Bearer fresh"]
    assert seen.row.started_at_s == pytest.approx(seen.of("play")[0].started_at_s)


def test_a_sign_in_that_fails_is_a_film_that_does_not_start() -> None:
    async def refuse(request: web.Request, _: Host) -> web.StreamResponse | None:
        return web.json_response({"error": "no"}, status=403) if request.path == "/login" else None

    seen = visit(token=None, scripts={"gateway-east-1": refuse})
    assert (seen.row.outcome, seen.row.error, seen.row.startup_s) == (
        "start_failure",
        "login: HTTP 403",
        None,
    )
    assert len(seen.requests) == 1, "a refusal is final"


def test_a_token_that_is_not_accepted_is_replaced_once() -> None:
    async def only_fresh(request: web.Request, _: Host) -> web.StreamResponse | None:
        if request.path == "/play" and request.headers["Authorization"] != "Bearer fresh":
            return web.json_response({"error": "expired"}, status=401)
        return None

    seen = visit(scripts={"gateway-east-1": only_fresh})
    assert seen.row.outcome == "completed"
    assert [(r.kind, r.status) for r in seen.requests[1:4]] == [("play", 401), ("login", 200), ("play", 200)]
    assert seen.row.started_at_s == pytest.approx(seen.of("play")[0].started_at_s), "waiting counts"


def test_a_token_that_is_never_accepted_fails_the_start() -> None:
    async def refuse(request: web.Request, _: Host) -> web.StreamResponse | None:
        return web.json_response({"error": "bad"}, status=401) if request.path == "/play" else None

    seen = visit(scripts={"gateway-east-1": refuse})
    assert (seen.row.outcome, seen.row.error) == ("start_failure", "play: HTTP 401")
    assert len(seen.of("login")) == 1


def test_nobody_needs_a_home_page_to_watch() -> None:
    rule = HttpRule("/home*", status=500)
    seen = visit(acts={0: interfere("gateway-east-1", rule), 0.001: interfere("gateway-west-1", rule)})
    assert seen.row.outcome == "completed"
    assert [request.ok for request in seen.of("home")] == [False] * 3


def test_a_level_that_is_no_word_is_not_recorded() -> None:
    async def odd(request: web.Request, _: Host) -> web.StreamResponse | None:
        return web.json_response({"level": 5}) if request.path == "/home" else None

    assert visit(scripts={"gateway-east-1": odd}).of("home")[0].level is None


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"urls": []}, "play: not valid: urls"),
        ({"segments": "many", "ttl_s": 0}, "play: not valid: ttl_s, segments"),
    ],
)
def test_an_answer_that_cannot_be_used_fails_the_start(changed: dict[str, object], error: str) -> None:
    seen = visit(scripts={"gateway-east-1": play_says(**changed)})
    assert (seen.row.outcome, seen.row.error) == ("start_failure", error)


@pytest.mark.parametrize("text", ["not json", "[]"])
def test_an_answer_that_is_no_object_is_asked_for_again_elsewhere(text: str) -> None:
    async def nonsense(request: web.Request, _: Host) -> web.StreamResponse | None:
        return web.Response(text=text) if request.path == "/play" else None

    seen = visit(scripts={"gateway-east-1": nonsense})
    assert seen.row.outcome == "completed"
    assert [(r.target, r.ok) for r in seen.of("play")] == [
        ("gateway-east-1", False),
        ("gateway-west-1", True),
    ]


# ---------------------------------------------------------------------- safeguards of the control plane


def test_region_failover() -> None:
    down: Acts = {0: kill("gateway-east-1")}
    seen = visit(acts=down)
    assert seen.row.outcome == "completed"
    assert {r.target for r in seen.requests if r.ok and r.kind in ("home", "play")} == {"gateway-west-1"}
    (event,) = seen.named("player.region_failover")
    assert event.fields == {"session": "viewer-0", "from": "gateway-east-1", "to": "gateway-west-1"}
    without = visit(acts=down, without=("player.region_failover",))
    assert without.row.outcome == "start_failure"
    assert {r.target for r in without.requests} == {"gateway-east-1"}
    assert not without.named("player.region_failover")


def fails_first(path: str, times: int, **headers: str) -> Script:
    """503 to the first so many requests of that path."""
    left = [times]

    async def script(request: web.Request, _: Host) -> web.StreamResponse | None:
        if request.path == path and left[0]:
            left[0] -= 1
            return web.json_response({"error": "busy"}, status=503, headers=headers)
        return None

    return script


def test_retry_of_a_control_plane_request() -> None:
    def go(*without: str) -> Seen:
        scripts = {"gateway-east-1": fails_first("/play", 1)}
        return visit(scripts=scripts, without=("player.region_failover", *without))

    seen = go()
    assert seen.row.outcome == "completed"
    assert [request.status for request in seen.of("play")] == [503, 200]
    first, second = seen.of("play")
    assert 0.125 <= second.started_at_s - first.t_s <= 0.375
    without = go("player.retry")
    assert (without.row.outcome, without.row.error) == ("start_failure", "play: HTTP 503")
    assert len(without.of("play")) == 1


def test_the_other_region_is_asked_at_once_the_same_one_only_after_a_pause() -> None:
    both = {node: fails_first("/play", 9) for node in GATEWAYS}
    seen = visit(scripts=both)
    plays = seen.of("play")
    assert [r.target for r in plays] == ["gateway-east-1", "gateway-west-1", "gateway-east-1"]
    assert plays[1].started_at_s == plays[0].t_s
    assert plays[2].started_at_s - plays[1].t_s > 0.2
    without = visit(scripts={node: fails_first("/play", 9) for node in GATEWAYS}, without=("player.retry",))
    assert [r.target for r in without.of("play")] == ["gateway-east-1", "gateway-west-1"]


def test_a_gateway_that_says_when_to_come_again_is_heeded() -> None:
    scripts = {"gateway-east-1": fails_first("/play", 1, **{"Retry-After": "2"})}
    seen = visit(scripts=scripts, without=("player.region_failover",))
    first, second = seen.of("play")
    assert second.started_at_s - first.t_s == pytest.approx(2)


def test_running_streams_do_not_need_the_control_plane() -> None:
    seen = visit(watch_s=75, acts={5: kill(*GATEWAYS)})
    assert (seen.row.outcome, seen.row.stall_s) == ("completed", 0)
    assert [request.ok for request in seen.of("steer")] == [False, False]
    without = visit(watch_s=75, acts={5: kill(*GATEWAYS)}, without=("player.optional_steering",))
    assert without.row.outcome == "playback_failure"
    assert without.row.error == "steering: no connection"
    assert without.row.played_s < 35


def test_who_depends_on_steering_asks_more_than_once() -> None:
    scripts = {"gateway-east-1": fails_first("/steer", 1)}
    seen = visit(watch_s=50, scripts=scripts, without=("player.optional_steering", "player.region_failover"))
    assert seen.row.outcome == "completed"
    assert [request.status for request in seen.of("steer")] == [503, 200]


def test_steering_is_not_asked_again_before_it_has_answered() -> None:
    asking, most = [0], [0]

    async def slow(request: web.Request, host: Host) -> web.StreamResponse | None:
        if request.path == "/play":
            return web.json_response(manifest(ttl_s=1))
        if request.path == "/steer":
            asking[0] += 1
            most[0] = max(asking)
            await host.clock.sleep(1.9)
            asking[0] -= 1
            return web.json_response({"urls": URLS, "ttl_s": 1})
        return None

    seen = visit(watch_s=20, scripts={"gateway-east-1": slow})
    assert len(seen.of("steer")) > 2
    assert most == [1]


def test_slow_steering_does_not_interrupt_either() -> None:
    slow: Acts = {0: interfere("gateway-east-1", HttpRule("/steer*", delay_s=30))}
    assert visit(watch_s=50, acts=slow).row.stall_s == 0


def test_steering_moves_the_session() -> None:
    async def elsewhere(request: web.Request, _: Host) -> web.StreamResponse | None:
        if request.path != "/steer":
            return None
        assert request.query["title"] == "title-000"
        return web.json_response({"urls": ["http://storage-1", "http://edge-a-1"], "ttl_s": 30})

    seen = visit(watch_s=50, scripts={"gateway-east-1": elsewhere})
    assert targets(seen) == ["edge-a-1", "storage-1"]
    assert seen.row.failovers == 0
    assert seen.row.bytes_storage > 0


def test_nonsense_from_steering_is_ignored() -> None:
    async def nonsense(request: web.Request, _: Host) -> web.StreamResponse | None:
        return web.json_response({"urls": "http://nowhere"}) if request.path == "/steer" else None

    seen = visit(watch_s=50, scripts={"gateway-east-1": nonsense})
    assert seen.row.outcome == "completed"
    assert targets(seen) == ["edge-a-1"]


# ---------------------------------------------------------------------- safeguards of delivery


def test_failover_to_the_next_appliance() -> None:
    down: Acts = {6: kill("edge-a-1")}
    seen = visit(watch_s=40, acts=down)
    assert (seen.row.outcome, seen.row.stall_s, seen.row.failovers) == ("completed", 0, 1)
    assert targets(seen) == ["edge-a-1", "edge-a-2"]
    (event,) = seen.named("player.failover")
    assert {name: event.fields[name] for name in ("session", "from", "to")} == {
        "session": "viewer-0",
        "from": "edge-a-1",
        "to": "edge-a-2",
    }
    assert event.fields["reason"] in ("connection lost", "no connection")
    without = visit(watch_s=40, acts=down, without=("player.failover",))
    assert without.row.outcome == "playback_failure"
    assert without.row.failovers == 0
    assert targets(without) == ["edge-a-1"]


def test_failover_goes_down_the_list_and_trusts_no_one_who_failed_lately() -> None:
    seen = visit(watch_s=60, acts={5: kill("edge-a-1"), 15: kill("edge-a-2")})
    assert (seen.row.outcome, seen.row.stall_s, seen.row.failovers) == ("completed", 0, 2)
    assert targets(seen) == ["edge-a-1", "edge-a-2", "storage-1"]
    assert seen.row.bytes_storage > 0


def test_a_full_appliance_is_left_too() -> None:
    full: Acts = {4: interfere("edge-a-1", HttpRule("/v/*", status=503))}
    seen = visit(watch_s=40, acts=full)
    assert (seen.row.outcome, seen.row.stall_s) == ("completed", 0)
    assert [r.status for r in seen.of("segment") if not r.ok] == [503]


def test_a_silent_appliance_is_given_up_while_there_is_something_to_play() -> None:
    silent: Acts = {6: pause("edge-a-1")}
    seen = visit(watch_s=60, acts=silent)
    assert (seen.row.outcome, seen.row.stall_s, seen.row.failovers) == ("completed", 0, 1)
    (failed,) = (r for r in seen.of("segment") if not r.ok)
    assert failed.status == 0
    assert failed.latency_s == pytest.approx(SILENCE_TIMEOUT_S)
    without = visit(watch_s=60, acts=silent, without=("player.segment_timeout",))
    assert without.row.outcome == "playback_failure"
    assert without.row.stall_s == pytest.approx(STALL_PATIENCE_S)
    assert [r.status for r in without.of("segment") if not r.ok] == [0], "what nobody waited for any more"


def test_an_appliance_that_stops_in_the_middle_of_a_segment_is_given_up() -> None:
    async def stops(request: web.Request, host: Host) -> web.StreamResponse | None:
        if not request.path.endswith("/2"):
            return None
        response = web.StreamResponse(headers={"Content-Length": "500000"})
        await response.prepare(request)
        for _ in range(3):
            await response.write(bytes(1000))
            await host.clock.sleep(1.5)
        await host.clock.sleep(3600)
        return response

    seen = visit(watch_s=40, abr="throughput", scripts={"edge-a-1": stops})
    assert (seen.row.outcome, seen.row.failovers) == ("completed", 1)
    (failed,) = (row for row in seen.of("segment") if not row.ok)
    assert failed.latency_s == pytest.approx(3 + SILENCE_TIMEOUT_S, abs=0.1)


def test_a_slow_download_that_goes_on_is_not_silent() -> None:
    """At 160 kbit/s the lowest rendition takes 6 s a segment, twice the silence that is borne."""
    crawl = Access(down_bps=160e3, up_bps=1e6, rtt_s=0.05)
    seen = visit(watch_s=10, access=crawl)
    assert seen.row.outcome == "completed"
    assert {event.fields["reason"] for event in seen.named("player.failover")} <= {"slow"}
    assert max(r.latency_s for r in seen.of("segment")) > 5


def test_a_slow_body_of_unknown_length_is_not_silent_either() -> None:
    async def chunked(request: web.Request, host: Host) -> web.StreamResponse | None:
        if not request.path.endswith("/1"):
            return None
        response = web.StreamResponse(headers={"X-Served-By": "edge"})
        await response.prepare(request)
        for _ in range(10):
            await response.write(bytes(10_000))
            await host.clock.sleep(0.6)
        await response.write_eof()
        return response

    seen = visit(watch_s=20, scripts={"edge-a-1": chunked})
    assert seen.row.outcome == "completed"
    assert {event.fields["reason"] for event in seen.named("player.failover")} <= {"slow"}
    assert seen.of("segment")[1].bytes == 100_000


@pytest.mark.parametrize("answer", ["cut short", "empty"])
def test_a_segment_that_is_not_whole_is_fetched_elsewhere(answer: str) -> None:
    async def partial(request: web.Request, _: Host) -> web.StreamResponse | None:
        if not request.path.endswith("/2"):
            return None
        if answer == "empty":
            return web.Response(body=b"")
        response = web.StreamResponse(headers={"Content-Length": "500000"})
        await response.prepare(request)
        await response.write(bytes(1000))
        assert request.transport is not None
        request.transport.close()
        return response

    seen = visit(watch_s=30, scripts={"edge-a-1": partial})
    assert (seen.row.outcome, seen.row.failovers) == ("completed", 1)
    assert [r.target for r in seen.of("segment") if not r.ok] == ["edge-a-1"]


def test_retry_when_every_appliance_fails_for_a_moment() -> None:
    async def outage(session: Session) -> None:
        killed = [await session.primitives.kill(node) for node in APPLIANCES]
        await session.clock.sleep(6)
        for each in killed:
            await each.undo()

    seen = visit(watch_s=40, acts={6: outage})
    assert (seen.row.outcome, seen.row.stall_s) == ("completed", 0)
    without = visit(watch_s=40, acts={6: outage}, without=("player.retry",))
    assert without.row.outcome == "playback_failure"


def test_what_the_buffer_no_longer_pays_for_is_not_asked_for_again() -> None:
    async def silent_after_the_first(request: web.Request, host: Host) -> web.StreamResponse | None:
        if not request.path.endswith("/0"):
            await host.clock.sleep(1000)
        return None

    access = Access(down_bps=14e6, up_bps=5e6, rtt_s=0.04)
    seen = visit(access=access, abr="throughput", scripts={"edge-a-1": silent_after_the_first})
    tried, again = [r for r in seen.of("segment") if r.target != "edge-a-1" or not r.ok][:2]
    assert (tried.target, again.target) == ("edge-a-1", "edge-a-2")
    assert tried.bitrate_kbps is not None
    assert again.bitrate_kbps is not None
    assert again.bitrate_kbps < tried.bitrate_kbps, "three of four seconds are gone"
    assert (seen.row.outcome, seen.row.stall_s) == ("completed", 0)


def test_between_rounds_over_all_appliances_there_is_a_pause_that_grows() -> None:
    seen = visit(watch_s=60, acts={6: kill(*APPLIANCES)})
    failed = [r for r in seen.of("segment") if not r.ok]
    rounds = [[r for _, r in group] for _, group in itertools.groupby(enumerate(failed), lambda i: i[0] // 3)]
    assert len(rounds) >= 3
    for each in rounds[:-1]:
        assert len({r.target for r in each}) == 3, "nobody twice in a round"
    pauses = [later[0].started_at_s - earlier[-1].t_s for earlier, later in itertools.pairwise(rounds)]
    for pause_s, about_s in zip(pauses, (0.5, 1, 2, 4, 4, 4, 4, 4), strict=False):
        assert 0.8 * about_s <= pause_s <= 1.2 * about_s
    assert len(pauses) > 4


def test_adapting_costs_quality_instead_of_interruptions() -> None:
    for abr in ("bola", "throughput"):
        seen = visit(watch_s=60, access=SLOW_ACCESS, abr=abr)
        assert (seen.row.outcome, seen.row.stall_s) == ("completed", 0)
        assert seen.row.bitrate_kbps < 1000
    without = visit(watch_s=60, access=SLOW_ACCESS, without=("player.abr",))
    assert without.row.stall_s > 10
    assert {r.bitrate_kbps for r in without.of("segment")} == {2350}


def test_a_download_that_became_too_slow_is_given_up_for_a_lesser_one() -> None:
    seen = visit(watch_s=60, acts={14: throttle(600e3)}, abr="throughput")
    assert (seen.row.outcome, seen.row.stall_s, seen.row.failovers) == ("completed", 0, 0)
    rows = seen.of("segment")
    given_up = [(a, b) for a, b in itertools.pairwise(rows) if a.bytes < expected(a)]
    assert given_up
    for before, after in given_up:
        assert before.ok, "it is no failure"
        assert before.bitrate_kbps is not None
        assert after.bitrate_kbps is not None
        assert after.bitrate_kbps < before.bitrate_kbps
        assert after.target == before.target
    assert seen.row.segments == len(rows) - len(given_up)


def expected(row: RequestRow) -> int:
    assert row.bitrate_kbps is not None
    return int(row.bitrate_kbps * 1000 / 8 * 4)


# ---------------------------------------------------------------------- ends


def test_nothing_arrives_at_all() -> None:
    seen = visit(acts={0.2: kill(*APPLIANCES)}, scripts={"edge-a-1": never})
    assert seen.row.outcome == "start_failure"
    assert seen.row.startup_s is None
    assert seen.row.error is not None
    assert seen.row.t_s - seen.row.started_at_s == pytest.approx(STARTUP_PATIENCE_S, abs=0.1)


async def never(_: web.Request, host: Host) -> web.StreamResponse | None:
    await host.clock.sleep(3600)
    return None


def test_a_stall_without_end_is_a_failure() -> None:
    seen = visit(watch_s=60, acts={6: kill(*APPLIANCES)})
    assert seen.row.outcome == "playback_failure"
    assert seen.row.stalls == 1
    assert seen.row.stall_s == pytest.approx(STALL_PATIENCE_S, abs=0.1)
    (event,) = seen.named("player.stall")
    assert event.fields["stall_s"] == pytest.approx(seen.row.stall_s)
    assert event.fields["network_class"] == "fibre"


def test_a_stall_that_ends_is_told_at_its_end() -> None:
    async def outage(session: Session) -> None:
        killed = [await session.primitives.kill(node) for node in APPLIANCES]
        await session.clock.sleep(20)
        for each in killed:
            await each.undo()

    seen = visit(watch_s=60, acts={8: outage})
    assert seen.row.outcome == "completed"
    stalls = seen.named("player.stall")
    assert len(stalls) == seen.row.stalls >= 1
    assert sum(float(str(e.fields["stall_s"])) for e in stalls) == pytest.approx(seen.row.stall_s)
    assert seen.row.played_s == pytest.approx(60)


def test_who_has_it_all_does_not_mind_what_breaks() -> None:
    """Everything dies when the last seconds are in the buffer: the film is seen to its end, and no more."""
    seen = visit(watch_s=14, acts={8: kill(*APPLIANCES, *GATEWAYS)})
    assert (seen.row.outcome, seen.row.stall_s) == ("completed", 0)
    assert seen.row.played_s == pytest.approx(14)


def test_asked_to_leave_while_it_goes_well() -> None:
    seen = visit(watch_s=60, leave_at_s=10)
    assert (seen.row.outcome, seen.row.error) == ("left", None)
    assert seen.row.startup_s is not None
    assert 9 < seen.row.played_s < 10


def test_asked_to_leave_in_a_long_stall() -> None:
    seen = visit(watch_s=60, acts={4: kill(*APPLIANCES)}, leave_at_s=31)
    assert seen.row.outcome == "playback_failure"
    assert seen.row.error is not None
    assert seen.row.error.startswith("stalled for")


@pytest.mark.parametrize(("leave_at_s", "outcome"), [(5, "exit_before_start"), (12, "start_failure")])
def test_asked_to_leave_before_the_first_frame(leave_at_s: float, outcome: str) -> None:
    seen = visit(scripts=dict.fromkeys(APPLIANCES, never), leave_at_s=leave_at_s)
    assert seen.row.outcome == outcome
    assert seen.row.startup_s is None
    assert seen.row.error is not None
    assert "without a first frame" in seen.row.error


def test_who_never_came_to_press_play_has_no_session() -> None:
    slow = dict.fromkeys(GATEWAYS, never)
    assert visit(scripts=slow, leave_at_s=1).session is None


def test_a_sign_in_that_worked_is_no_intent_to_play() -> None:
    async def no_home(request: web.Request, host: Host) -> web.StreamResponse | None:
        return await never(request, host) if request.path == "/home" else None

    seen = visit(token=None, scripts=dict.fromkeys(GATEWAYS, no_home), leave_at_s=1)
    assert [request.ok for request in seen.of("login")] == [True]
    assert seen.session is None


def test_steering_under_way_does_not_outlive_the_session() -> None:
    asked = []

    async def note(request: web.Request, host: Host) -> web.StreamResponse | None:
        if request.path == "/play":
            return web.json_response(manifest(ttl_s=10.5))
        if request.path == "/steer":
            asked.append(request.path)
            await host.clock.sleep(1.9)
        return None

    seen = visit(watch_s=12, scripts={"gateway-east-1": note})
    assert seen.row.outcome == "completed"
    assert asked == ["/steer"]
    assert not seen.of("steer")


@pytest.mark.parametrize("identity_until_s", [3000.0, 600.0])
def test_a_film_longer_than_its_token_keeps_being_steered(identity_until_s: float) -> None:
    """A token is good for half an hour. Without the identity service the last one goes on, with grace."""

    async def serve(request: web.Request, host: Host) -> web.StreamResponse | None:
        now_s = host.clock.now()
        if request.path == "/refresh":
            if now_s > identity_until_s:
                return web.json_response({"error": "identity: no answer"}, status=503)
            token = mint(verify(bearer(request.headers["Authorization"]), now_s), now_s)
            return web.json_response({"token": token, "expires_in_s": TTL_S})
        try:
            verify(bearer(request.headers["Authorization"]), now_s, leeway_s=GRACE_S)
        except InvalidToken as error:
            return web.json_response({"error": str(error)}, status=401)
        if request.path == "/play":
            return web.json_response(manifest(segments=900, segment_s=10.0, bitrates_kbps=[235], ttl_s=120))
        if request.path == "/steer":
            return web.json_response({"urls": URLS, "ttl_s": 120})
        return None

    seen = visit(watch_s=2100, token=mint("account-1", 0.0), scripts=dict.fromkeys(GATEWAYS, serve))
    assert seen.row.outcome == "completed"
    assert len(seen.of("steer")) == 17
    assert {request.status for request in seen.of("steer")} == {200}


def test_who_is_told_not_to_come_again_does_not() -> None:
    async def refuse(request: web.Request, host: Host) -> web.StreamResponse | None:
        if request.path != "/play":
            return None
        return web.json_response({"error": "too busy"}, status=503, headers={NO_RETRY_HEADER: "no"})

    scripts = dict.fromkeys(GATEWAYS, refuse)
    assert [request.attempt for request in visit(scripts=scripts).of("play")] == [1]
    without = visit(scripts=scripts, without=("player.retry_budget",))
    assert [request.attempt for request in without.of("play")] == [1, 2, 3]


def test_the_service_is_told_how_long_a_player_waits() -> None:
    told = []

    async def note(request: web.Request, host: Host) -> web.StreamResponse | None:
        told.append(int(request.headers[HEADER]))
        return None

    visit(scripts={"gateway-east-1": note})
    assert set(told) == {2000}
