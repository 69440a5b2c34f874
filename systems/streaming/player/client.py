"""A player's requests: each measured, recorded as a `RequestRow`, and never raising for what a network does."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import aiohttp

from harness.system import Event, Host

from ..control.tokens import TTL_S
from ..records import RequestRow
from ..resilience.deadline import HEADER
from ..resilience.retry_budget import NO_RETRY_HEADER, RetryBudget
from .playback import EARLY_S, Fetch, Playback

API_TIMEOUT_S = 2.0
API_TIMEOUT = aiohttp.ClientTimeout(total=API_TIMEOUT_S)
"""One try of a control-plane request. The service is told of it, so that it does nothing that is too late."""

API_RETRY_RATIO, API_RETRY_BURST = 0.1, 12.0
"""Retries of one player: this share of its requests, and so many saved (safeguard `player.retry_budget`)."""

API_DEADLINE = {HEADER: str(round(API_TIMEOUT_S * 1000))}

API_TRIES = 3
API_BACKOFF_S = 0.25
API_BACKOFF_MOST_S = 3.0
"""Also the most that a `Retry-After` is heeded: a viewer is waiting."""

CONNECT_TIMEOUT_S = 0.75
"""Five round trips of the slowest network; two dead appliances must not cost a start its two seconds."""

SILENCE_TIMEOUT_S = 3.0
"""An appliance that sends nothing for so long has failed (safeguard `player.segment_timeout`)."""

MAX_SILENCE_TIMEOUT_S = 12.0
"""What it grows to while one appliance after the other is silent: then it is not they that have failed."""

SLOW_FACTOR = 1.5
"""A download that is not half done after so many times as long as the segment plays is cut off, where there is another
appliance."""

MIN_SIZE_SHARE = 0.1
"""A body of less than this share of what the bitrate says is no video."""

READ_BUFFER_BYTES = 8_000_000
"""More than any segment. With less, aiohttp 3.14.5 pauses reading, and resuming it after the last byte arms
its read timer again: that fires on the idle connection and spoils the next request on it."""

PATIENT_TIMEOUT_S = 60.0
"""What a player without that safeguard waits: about what HTTP clients do by themselves."""


LOCALITIES = ("local", "content miss", "health miss", "other miss")
"""Where the bytes of a segment come from: `RequestRow.locality`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` 0: there was none, `reason` says why. `ok`: a 2xx with a JSON object."""

    status: int
    body: dict[str, Any]
    reason: str
    ok: bool
    retry_after_s: float = 0.0
    retry: bool = True
    """Whether the service lets its clients try again."""

    @property
    def final(self) -> bool:
        """Whether asking again would change nothing."""
        return self.ok or (400 <= self.status < 500 and self.status != 429)


@dataclass(frozen=True, slots=True)
class Segment:
    """What became of one download. `source`: edge, storage, ... `given_up`: by the ABR rule, no failure.
    `cut`: the viewer waits no longer. `locality`: one of `LOCALITIES`, of video that has arrived."""

    ok: bool
    given_up: bool
    cut: bool
    n_bytes: int
    took_s: float
    waited_s: float
    source: str
    reason: str
    locality: str | None
    status: int = 0
    not_reached: bool = False
    """No connection was made in time."""
    slow: bool = False
    """It took longer than it plays, or was cut off because it would have."""

    @property
    def kbps(self) -> float:
        """Of its body."""
        return self.n_bytes * 8 / 1000 / max(self.took_s - self.waited_s, 1e-3)


class Requests:
    """All requests of one session."""

    def __init__(self, host: Host, session: str) -> None:
        self._host = host
        self._session = session
        self._isp = host.zone
        self._network_class = host.group or "unknown"
        self._retry = host.safeguard("player.retry")
        self._budget = (
            RetryBudget(API_RETRY_RATIO, API_RETRY_BURST) if host.safeguard("player.retry_budget") else None
        )
        self._region_failover = host.safeguard("player.region_failover")
        home = str(host.config["home_region"]).removeprefix("region-")
        regions = [home, *(r for r in ("east", "west") if r != home)]
        self._gateways = [f"gateway-{region}-1" for region in regions]
        if not self._region_failover:
            self._gateways = self._gateways[:1]
        self._gateway = 0
        strict = host.safeguard("player.segment_timeout")
        self._silence_s = SILENCE_TIMEOUT_S if strict else PATIENT_TIMEOUT_S
        self._silent: list[str] = []
        """The appliances that were silent, one after the other."""
        self._segment_timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_TIMEOUT_S if strict else PATIENT_TIMEOUT_S
        )
        self._local = {node.name for node in host.topology.role("edge") if node.zone == self._isp}
        self._miss = "health miss" if self._local else "other miss"
        self.refresh_at_s = float("inf")
        """When the token is to be refreshed."""
        self.video_bytes = 0
        """All bytes of segments that have arrived."""
        self._headers = {"X-Session": session, "X-Network-Class": self._network_class, "X-Isp": self._isp}

    def sign_in(self, token: str, expires_in_s: float = TTL_S) -> None:
        """Use this token from now on; it is good for so long."""
        now_s = self._host.clock.now()
        self.refresh_at_s = now_s + expires_in_s / 2
        self._headers = {**self._headers, "Authorization": f"Bearer {token}"}

    async def refresh(self) -> None:
        """Get a new token for the old one, or by signing in when the old one is refused.

        When that fails the old one goes on until the next call.
        """
        answer = await self.api("refresh", "POST", "/refresh", tries=1)
        if answer.status == 401:
            body = {"account": self._host.config["account"]}
            answer = await self.api("login", "POST", "/login", body, tries=1)
        token, expires_in_s = answer.body.get("token"), answer.body.get("expires_in_s")
        if answer.ok and isinstance(token, str) and isinstance(expires_in_s, int | float):
            self.sign_in(token, expires_in_s)

    async def api(
        self, kind: str, method: str, path: str, body: dict[str, Any] | None = None, *, tries: int = API_TRIES
    ) -> Answer:
        """Ask the control plane, the region in use first; elsewhere and again as the safeguards allow.

        The other region is asked at once, the same one again only after a pause (`player.retry`)."""
        answer = Answer(0, {}, "not asked", False)
        budget = self._budget
        if budget is not None:
            budget.request()
        for attempt in range(1, tries + 1):
            gateway = self._gateways[self._gateway]
            answer = await self._ask(kind, gateway, method, path, body, attempt)
            if answer.final or attempt == tries:
                break
            if budget is not None and not (answer.retry and budget.try_spend()):
                break
            if attempt % len(self._gateways) == 0:
                if not self._retry:
                    break
                pause_s = API_BACKOFF_S * 2 ** (attempt - 1) * self._host.rng.uniform(0.5, 1.5)
                await self._host.clock.sleep(min(API_BACKOFF_MOST_S, max(pause_s, answer.retry_after_s)))
            self._move(gateway)
        return answer

    def _move(self, gateway: str) -> None:
        """To the other region, for this request and the next ones."""
        if len(self._gateways) > 1:
            self._gateway = (self._gateway + 1) % len(self._gateways)
            to = self._gateways[self._gateway]
            self._host.emit(
                Event("player.region_failover", {"session": self._session, "from": gateway, "to": to})
            )

    async def _ask(
        self, kind: str, gateway: str, method: str, path: str, body: dict[str, Any] | None, attempt: int
    ) -> Answer:
        clock = self._host.clock
        started = clock.now()
        status, found, reason, retry_after_s, retry = 0, None, "", 0.0, True
        headers = {**self._headers, **API_DEADLINE}
        try:
            async with self._host.http(gateway).request(
                method, path, json=body, headers=headers, timeout=API_TIMEOUT
            ) as response:
                raw = await response.read()
                status = response.status
                retry = response.headers.get(NO_RETRY_HEADER) != "no"
                retry_after_s = _seconds(response.headers.get("Retry-After"))
                found = json.loads(raw)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            status, reason = 0, _said(error)
        except ValueError:
            reason = f"HTTP {status}, not JSON"
        ok = 200 <= status < 300 and isinstance(found, dict)
        answer = Answer(
            status,
            found if isinstance(found, dict) else {},
            reason or f"HTTP {status}",
            ok,
            retry_after_s,
            retry,
        )
        level = answer.body.get("level")
        level = level if isinstance(level, str) else None
        self._record(kind, gateway, started, status, ok, level=level, attempt=attempt)
        return answer

    async def segment(
        self,
        node: str,
        title: str,
        fetch: Fetch,
        playback: Playback,
        bitrate_kbps: float,
        *,
        segment_s: float,
        can_leave: bool,
    ) -> Segment:
        """Download one segment from one appliance, as long as the viewer waits and without long silence.

        Given up when the ABR rule says so; cut off when it is slow and (`can_leave`) there is another appliance. One
        that is cut because the viewer has seen all they wanted is not recorded: nothing is known of it.
        """
        clock = self._host.clock
        started = clock.now()
        until_s = playback.waits_until_s(started)
        loop = asyncio.get_running_loop()
        offset_s = loop.time() - started
        done = status = 0
        size: int | None = None
        first_s = 0.0
        source, cache, reason, given_up = "", None, "", False
        kind, not_reached, too_slow = "", False, False
        slow_s = SLOW_FACTOR * segment_s if can_leave else float("inf")
        try:
            # One timer for the whole download, put off now and then while data comes: cheaper than
            # aiohttp's, which is armed anew for every piece.
            async with (
                asyncio.timeout_at(offset_s + min(started + self._silence_s, until_s)) as silence,
                self._host.http(node).get(
                    f"/v/{title}/{fetch.quality}/{fetch.segment}",
                    headers=self._headers,
                    timeout=self._segment_timeout,
                    read_bufsize=READ_BUFFER_BYTES,
                ) as response,
            ):
                status = response.status
                source = response.headers.get("X-Served-By", "")
                cache = response.headers.get("X-Cache")
                size = response.content_length
                kind = response.content_type
                put_off_s = clock.now()
                first_s = put_off_s - started
                async for chunk, _ in response.content.iter_chunks():
                    done += len(chunk)
                    if done == size:
                        continue
                    now = clock.now()
                    if now - put_off_s > self._silence_s / 3:
                        put_off_s = now
                        silence.reschedule(offset_s + min(now + self._silence_s, until_s))
                    if (
                        status == 200
                        and size
                        and playback.give_up(now, fetch, size, done, now - started, first_s)
                    ):
                        given_up = True
                        response.close()
                        break
                    if now - started > slow_s and (not size or done < size / 2):
                        too_slow = True
                        response.close()
                        break
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            status, reason = 0, _said(error)
            not_reached = isinstance(error, aiohttp.ConnectionTimeoutError)
        now = clock.now()
        took = now - started
        cut = status == 0 and now >= until_s - EARLY_S
        locality = None
        if done and status in (0, 200):
            self.video_bytes += done
            locality = self._locality(node, cache)
        if cut and playback.ends_at_s is not None:
            return Segment(False, False, True, done, took, first_s, source, "no longer wanted", locality)
        if status == 200 and not (given_up or too_slow):
            reason = _no_video(kind, done, bitrate_kbps * 125 * segment_s)
        if too_slow:
            reason = "slow"
        ok = status == 200 and not given_up and not reason
        if not cut:
            self._note_silence(node, ok=ok, silent=reason == "timeout" and not not_reached)
        if not ok and not given_up and node in self._local:
            self._miss = "content miss" if cache == "miss" or status == 404 else "health miss"
        if ok:
            playback.arrived(now, fetch.quality, done, took, first_s)
        self._record(
            "segment",
            node,
            started,
            status,
            ok or given_up,
            bitrate_kbps=bitrate_kbps,
            buffer_s=playback.buffer_s,
            cache=cache,
            n_bytes=done,
            locality=locality,
        )
        return Segment(
            ok,
            given_up,
            cut,
            done,
            took,
            first_s,
            source,
            reason or f"HTTP {status}",
            locality,
            status,
            not_reached,
            too_slow or (ok and took > segment_s),
        )

    def _note_silence(self, node: str, *, ok: bool, silent: bool) -> None:
        """Wait longer where one appliance after the other is silent, and no longer once one answers soon."""
        if self._silence_s >= PATIENT_TIMEOUT_S:
            return
        if silent and node not in self._silent:
            self._silent.append(node)
            if len(self._silent) > 1:
                self._silence_s = min(MAX_SILENCE_TIMEOUT_S, 2 * self._silence_s)
        elif ok:
            self._silent.clear()

    def _locality(self, node: str, cache: str | None) -> str:
        """Elsewhere than in the ISP: why the last of its appliances that was tried did not serve."""
        if node not in self._local:
            return self._miss
        return {"hit": "local", "miss": "content miss"}.get(cache or "", "other miss")

    def _record(
        self,
        kind: str,
        target: str,
        started_s: float,
        status: int,
        ok: bool,
        *,
        attempt: int = 1,
        level: str | None = None,
        bitrate_kbps: float | None = None,
        buffer_s: float | None = None,
        cache: str | None = None,
        n_bytes: int = 0,
        locality: str | None = None,
    ) -> None:
        now = self._host.clock.now()
        self._host.emit(
            RequestRow(
                t_s=now,
                started_at_s=started_s,
                session=self._session,
                network_class=self._network_class,
                isp=self._isp,
                kind=kind,
                attempt=attempt,
                target=target,
                status=status,
                ok=ok,
                latency_s=now - started_s,
                level=level,
                bitrate_kbps=bitrate_kbps,
                buffer_s=buffer_s,
                cache=cache,
                bytes=n_bytes,
                locality=locality,
            )
        )


def _said(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "no connection"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError | ConnectionError):
        return "connection lost"
    return type(error).__name__


def _no_video(content_type: str, n_bytes: int, expected_bytes: float) -> str:
    """Why a body is no video: a page of some portal, or next to nothing. Empty for one that may be."""
    if not (content_type.startswith("video/") or content_type == "application/octet-stream"):
        return f"no video but {content_type}"
    return f"no video in {n_bytes} bytes" if n_bytes < MIN_SIZE_SHARE * expected_bytes else ""


def _seconds(value: str | None) -> float:
    """A Retry-After in seconds; 0 for none, or for a date."""
    return float(value) if value is not None and value.isdecimal() else 0.0
