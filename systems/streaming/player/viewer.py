"""A viewer's visit: sign in if need be, look at the home page, press play, watch; one `SessionRow` at its end.

What keeps a stream alive, each a safeguard: another appliance after a failure (`player.failover`), a try
again (`player.retry`), the other region (`player.region_failover`), giving a silent appliance up
(`player.segment_timeout`), adapting (`player.abr`), and steering that may fail (`player.optional_steering`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from harness.system import Event, Host

from ..control.tokens import TTL_S, mint
from ..records import HeartbeatRow, SessionRow
from .client import API_TRIES, LOCALITIES, Requests
from .heartbeats import Heartbeat, Heartbeats
from .manifest import BadAnswer, Manifest, read_manifest, read_ttl_s, read_urls
from .playback import EARLY_S, End, Fetch, Outcome, Pause, Playback, not_started
from .sources import Sources

RETRY_FIRST_S = 0.5
RETRY_MOST_S = 4.0


async def watch(host: Host) -> None:
    """The whole visit of one viewer. `config`: account, signed_in, title, watch_s, home_region, abr.

    `token` in place of `signed_in`: the access token that the viewer comes with, None for none.
    """
    visit = Visit(host)
    try:
        await visit.run()
    finally:
        visit.close()


class Failed(Exception):
    """The session ends with this outcome."""

    def __init__(self, outcome: Outcome, error: str) -> None:
        super().__init__(error)
        self.outcome = outcome


class Visit:
    """One session's life."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._session = host.name
        self._arrived_s = host.clock.now()
        self._title = str(host.config["title"])
        self._requests = Requests(host, self._session)
        config = host.config
        self._signed_in = bool(config.get("signed_in", config.get("token") is not None))
        self._failover = host.safeguard("player.failover")
        self._retry = host.safeguard("player.retry")
        self._optional_steering = host.safeguard("player.optional_steering")
        self._intent_s: float | None = None
        self._playback: Playback | None = None
        self._sources: Sources | None = None
        self._bytes = {"edge": 0, "storage": 0, "origin": 0}
        self._bytes_by_locality = dict.fromkeys(LOCALITIES, 0)
        self._ttl_s = self._steer_at_s = float("inf")
        self._stalls_told = 0
        self._heartbeats_reported = 0
        self._outcome: Outcome = "left"
        self._error: str | None = None

    async def run(self) -> None:
        try:
            token = self._host.config.get("token")
            if token is not None:
                self._requests.sign_in(str(token))
            elif self._signed_in:
                # The app keeps its token fresh between visits.
                self._requests.sign_in(mint(str(self._host.config["account"]), self._arrived_s))
            else:
                await self._sign_in()
            await self._requests.api("home", "GET", "/home")
            await self._play(await self._press_play())
            self._outcome = "completed"
        except Failed as failed:
            self._outcome, self._error = failed.outcome, str(failed)
        except Exception as error:
            # A defect of this player: the workload's driver hears of it, and the session failed all the same.
            started = self._playback is not None and self._playback.started_s is not None
            self._outcome = "playback_failure" if started else "start_failure"
            self._error = type(error).__name__
            raise

    async def _sign_in(self) -> None:
        # To the viewer, a sign-in that fails is a film that does not start; one that works does not count.
        before_s = self._intent_s
        self._intent_s = self._host.clock.now() if before_s is None else before_s
        answer = await self._requests.api(
            "login", "POST", "/login", {"account": self._host.config["account"]}
        )
        token = answer.body.get("token")
        if not answer.ok or not isinstance(token, str):
            raise Failed("start_failure", f"login: {answer.reason}")
        expires_in_s = answer.body.get("expires_in_s")
        self._requests.sign_in(token, float(expires_in_s) if isinstance(expires_in_s, int | float) else TTL_S)
        self._intent_s = before_s

    async def _press_play(self) -> Manifest:
        self._intent_s = self._host.clock.now()
        answer = await self._requests.api("play", "POST", "/play", {"title": self._title})
        if answer.status == 401:
            # The token has run out, or its issuer has a new key.
            await self._sign_in()
            answer = await self._requests.api("play", "POST", "/play", {"title": self._title})
        if not answer.ok:
            raise Failed("start_failure", f"play: {answer.reason}")
        try:
            return read_manifest(answer.body)
        except BadAnswer as error:
            raise Failed("start_failure", f"play: {error}") from error

    async def _play(self, manifest: Manifest) -> None:
        assert self._intent_s is not None
        clock = self._host.clock
        bitrates = manifest.bitrates_kbps
        playback = self._playback = Playback(
            segment_s=manifest.segment_s,
            segments=manifest.segments,
            bitrates_kbps=bitrates,
            watch_s=float(self._host.config["watch_s"]),
            rule=str(self._host.config.get("abr", "bola")),
            adapt=self._host.safeguard("player.abr"),
            intent_s=self._intent_s,
        )
        sources = self._sources = Sources(manifest.urls, failover=self._failover)
        self._ttl_s = manifest.ttl_s
        self._steer_at_s = clock.now() + manifest.ttl_s
        steering: asyncio.Task[None] | None = None
        try:
            while True:
                if clock.now() >= self._steer_at_s:
                    self._steer_at_s = clock.now() + self._ttl_s
                    if not self._optional_steering:
                        await self._steer(sources, must=True)
                    elif steering is None or steering.done():
                        steering = asyncio.ensure_future(self._steer(sources, must=False))
                step = playback.next(clock.now())
                self._tell_stalls(playback)
                self._report_heartbeats(playback.heartbeats.ended)
                if isinstance(step, End):
                    await self._sleep_until(step.at_s)
                    return
                if isinstance(step, Pause):
                    await self._sleep_until(min(step.until_s, max(self._steer_at_s, clock.now() + EARLY_S)))
                else:
                    await self._fetch(playback, sources, step, manifest)
        finally:
            if steering is not None:
                steering.cancel()

    async def _fetch(self, playback: Playback, sources: Sources, fetch: Fetch, manifest: Manifest) -> None:
        """Until the segment is here, the rule wants another rendition, the viewer has seen all they wanted,
        or the session has failed."""
        clock = self._host.clock
        backoff_s = RETRY_FIRST_S
        reason = "nothing arrived in time"
        missing: list[str] = []
        while True:
            until_s = playback.waits_until_s(clock.now())
            if clock.now() >= until_s - EARLY_S:
                if playback.ends_at_s is not None:
                    await self._sleep_until(until_s)
                    return
                raise self._failed(playback, reason)
            url = sources.current
            node = url.removeprefix("http://").rstrip("/")
            got = await self._requests.segment(
                node,
                self._title,
                fetch,
                playback,
                manifest.bitrates_kbps[fetch.quality],
                segment_s=manifest.segment_s,
                can_leave=sources.can_leave(clock.now()),
            )
            if got.source in self._bytes:
                self._bytes[got.source] += got.n_bytes
            if got.locality is not None:
                self._bytes_by_locality[got.locality] += got.n_bytes
            if (got.ok or got.slow) and sources.measured(clock.now(), got.kbps, slow=got.slow):
                self._tell_failover(node, sources.current, "slow")
            if got.ok or got.given_up:
                return
            reason = f"{node}: {got.reason}"
            if got.cut:
                continue
            if got.slow:
                fetch = playback.again(clock.now(), fetch)
                continue
            if got.status in (404, 410):
                missing.append(url)
                if len({*missing}) >= min(2, len(sources.urls)):
                    # It is the rendition that is not there: no appliance is to blame.
                    playback.exclude(clock.now(), fetch.quality)
                    sources.forgive(missing)
                    missing.clear()
                    other = playback.again(clock.now(), fetch)
                    if other != fetch:
                        fetch = other
                        continue
            if sources.failed(clock.now(), not_reached=got.not_reached):
                self._tell_failover(node, sources.current, got.reason)
                fetch = playback.again(clock.now(), fetch)
                continue
            if not self._retry:
                raise self._failed(playback, reason)
            pause_s = backoff_s * self._host.rng.uniform(0.8, 1.2)
            await self._sleep_until(min(clock.now() + pause_s, playback.waits_until_s(clock.now())))
            backoff_s = min(RETRY_MOST_S, backoff_s * 2)
            fetch = playback.again(clock.now(), fetch)

    def _failed(self, playback: Playback, reason: str) -> Failed:
        return Failed("start_failure" if playback.started_s is None else "playback_failure", reason)

    async def _steer(self, sources: Sources, *, must: bool) -> None:
        """Ask for a fresh list. When it `must` be there and is not, the session has failed."""
        if self._host.clock.now() >= self._requests.refresh_at_s:
            await self._requests.refresh()
        answer = await self._requests.api(
            "steer", "GET", f"/steer?title={self._title}", tries=API_TRIES if must else 1
        )
        try:
            now_s = self._host.clock.now()
            if answer.status == 410:
                self._steer_at_s = float("inf")  # for ever
            elif answer.retry_after_s:
                self._steer_at_s = max(self._steer_at_s, now_s + answer.retry_after_s)
            if not answer.ok:
                raise BadAnswer(answer.reason)
            self._ttl_s = read_ttl_s(answer.body, self._ttl_s)
            self._steer_at_s = now_s + self._ttl_s
            sources.rank(read_urls(answer.body), now_s)
        except BadAnswer as error:
            if must:
                raise Failed("playback_failure", f"steering: {error}") from error

    def _tell_failover(self, left: str, to: str, reason: str) -> None:
        self._host.emit(
            Event(
                "player.failover",
                {"session": self._session, "from": left, "to": to.removeprefix("http://"), "reason": reason},
            )
        )

    def _tell_stalls(self, playback: Playback) -> None:
        for stall in playback.stalls[self._stalls_told :]:
            self._host.emit(
                Event(
                    "player.stall",
                    {
                        "session": self._session,
                        "stall_s": stall.lasted_s,
                        "network_class": self._host.group,
                    },
                )
            )
        self._stalls_told = len(playback.stalls)

    def _report_heartbeats(self, heartbeats: Sequence[Heartbeat], last: Outcome | None = None) -> None:
        """Write those that are new. `last`: the outcome of the session, when its last one is among them."""
        assert self._intent_s is not None
        for number, heartbeat in enumerate(
            heartbeats[self._heartbeats_reported :], self._heartbeats_reported + 1
        ):
            state = "stalled" if heartbeat.stalled else "playing" if heartbeat.started else "starting"
            if last is not None and number == len(heartbeats):
                if last in ("start_failure", "playback_failure"):
                    state = "failed"
                elif state == "playing":
                    state = "ended"
            self._host.emit(
                HeartbeatRow(
                    t_s=heartbeat.end_s,
                    session=self._session,
                    network_class=self._host.group or "unknown",
                    isp=self._host.zone,
                    intent_s=self._intent_s,
                    started_at_s=heartbeat.start_s,
                    state=state,
                    startup_wait_s=0.0 if heartbeat.started else heartbeat.end_s - self._intent_s,
                    played_s=heartbeat.played_s,
                    stall_s=heartbeat.stall_s,
                    stalls=heartbeat.stalls,
                )
            )
        self._heartbeats_reported = len(heartbeats)

    async def _sleep_until(self, time_s: float) -> None:
        await self._host.clock.sleep(max(0.0, time_s - self._host.clock.now()))

    def close(self) -> None:
        """Write the session's row, however it ended. Who never came as far as to press play has none."""
        if self._intent_s is None:
            return
        now = self._host.clock.now()
        playback, sources = self._playback, self._sources
        outcome, error = self._outcome, self._error
        if playback is None:
            waiting_s = now - self._intent_s
            if outcome == "left":
                outcome, error = not_started(waiting_s)
            heartbeats = Heartbeats(self._intent_s)
            while heartbeats.next_s < now:
                heartbeats.cut(heartbeats.next_s)
            heartbeats.cut(now)
        else:
            if outcome == "left":
                outcome, error = playback.when_asked_to_leave(now)
            waiting_s = playback.waiting_s(now)
            playback.finish(now)
            self._tell_stalls(playback)
            heartbeats = playback.heartbeats
        self._report_heartbeats(heartbeats.ended, outcome)
        started = playback.started_s if playback is not None else None
        self._host.emit(
            SessionRow(
                t_s=now,
                session=self._session,
                network_class=self._host.group or "unknown",
                isp=self._host.zone,
                signed_in=self._signed_in,
                title=self._title,
                arrived_s=self._arrived_s,
                started_at_s=self._intent_s,
                startup_s=None if started is None else started - self._intent_s,
                outcome=outcome,
                error=error,
                waiting_s=waiting_s,
                played_s=playback.played_s if playback is not None else 0.0,
                stall_s=playback.stall_s if playback is not None else 0.0,
                stalls=playback.stall_count if playback is not None else 0,
                bitrate_kbps=playback.bitrate_kbps if playback is not None else 0.0,
                switches=playback.switches if playback is not None else 0,
                failovers=sources.failovers if sources is not None else 0,
                segments=playback.segments_fetched if playback is not None else 0,
                bytes_edge=self._bytes["edge"],
                bytes_storage=self._bytes["storage"],
                bytes_origin=self._bytes["origin"],
                bytes_total=self._requests.video_bytes,
                bytes_local=self._bytes_by_locality["local"],
                bytes_content_miss=self._bytes_by_locality["content miss"],
                bytes_health_miss=self._bytes_by_locality["health miss"],
                bytes_other_miss=self._bytes_by_locality["other miss"],
            )
        )
