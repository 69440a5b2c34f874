"""What the streaming service reports: a row for each session, heartbeat, request of a player, and gateway answer.

Times are seconds of the run; `t_s` is when the row was determined.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One playback session, from the intent to play to its end.

    `arrived_s`: when the viewer came, before the home page. `started_at_s`: when they pressed play.
    `signed_in`: whether the viewer arrived with a token.
    `outcome`: completed (watched what they came for), left (asked to leave at the end of the run while it
    went well), start_failure (an error, or too long a wait, before the first frame), exit_before_start (asked
    to leave while still waiting for it, too early to tell), playback_failure (an error, or a stall without
    end, after it). `error`: why it failed. `startup_s`: intent to first frame. `stall_s`, `stalls`:
    rebuffering after the start. `bitrate_kbps`: mean of what was played. `waiting_s`: how long the viewer had been
    waiting for a frame when the session ended; 0 if it played.

    `bytes_edge`, `bytes_storage`, `bytes_origin`: by the role that sent them. `bytes_total`: all bytes of segments,
    those given up included. It is the sum of `bytes_local`, `bytes_content_miss`, `bytes_health_miss` and
    `bytes_other_miss` (`RequestRow.locality`).
    """

    t_s: float
    session: str
    network_class: str
    isp: str
    signed_in: bool
    title: str
    arrived_s: float
    started_at_s: float
    startup_s: float | None
    outcome: str
    error: str | None
    waiting_s: float
    played_s: float
    stall_s: float
    stalls: int
    bitrate_kbps: float
    switches: int
    failovers: int
    segments: int
    bytes_edge: int
    bytes_storage: int
    bytes_origin: int
    bytes_total: int
    bytes_local: int
    bytes_content_miss: int
    bytes_health_miss: int
    bytes_other_miss: int


@dataclass(frozen=True, slots=True)
class HeartbeatRow:
    """What a session did in 10 s of the run, from `started_at_s` to `t_s`; shorter at its start and end.

    `intent_s`: when the viewer pressed play. `state` at the end: starting (no first frame yet), playing, stalled,
    ended (as its viewer wished), failed.
    `startup_wait_s`: from then until `t_s`, of a session without a first frame; otherwise 0. `stalls`: how many
    began.
    """

    t_s: float
    session: str
    network_class: str
    isp: str
    intent_s: float
    started_at_s: float
    state: str
    startup_wait_s: float
    played_s: float
    stall_s: float
    stalls: int


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One request of a player. `status` 0: no answer. `kind`: login, refresh, home, play, steer, segment.
    `attempt`: 1 for the first try of a request to the control plane, 2 for its first repetition, and so on.

    `ok` includes a segment that was given up for another rendition. A request that was still under way when
    its viewer went away has no row. `level`: how good a home page was. For segments: the rendition, the buffer
    afterwards, and whether the appliance held it (`cache`).

    `locality`: where the bytes of a segment came from. local: held by an appliance in the viewer's ISP; otherwise why
    not. content miss: the appliances of the ISP do not hold it. health miss: they are withdrawn, failing or full.
    other miss: the ISP has none, or the answer names no cache. Null without bytes of a segment.
    """

    t_s: float
    started_at_s: float
    session: str
    network_class: str
    isp: str
    kind: str
    attempt: int
    target: str
    status: int
    ok: bool
    latency_s: float
    level: str | None
    bitrate_kbps: float | None
    buffer_s: float | None
    cache: str | None
    bytes: int
    locality: str | None


@dataclass(frozen=True, slots=True)
class ServedRow:
    """One answer of a gateway. `client`: the session that asked.

    `priority`: what load shedding goes by. `level`: of a home page."""

    t_s: float
    started_at_s: float
    node: str
    client: str | None
    route: str
    network_class: str
    status: int
    latency_s: float
    priority: str
    level: str | None
