"""What the streaming service reports: one row a session, one a request of a player, one a gateway answer.

Times are seconds of the run; `t_s` is when the row was determined.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One playback session, from the intent to play to its end.

    `outcome`: completed (watched what they came for), left (asked to leave at the end of the run while it
    went well), start_failure (an error, or too long a wait, before the first frame), exit_before_start (asked
    to leave while still waiting for it, too early to tell), playback_failure (an error, or a stall without
    end, after it). `error`: why it failed. `startup_s`: intent to first frame. `stall_s`, `stalls`:
    rebuffering after the start. `bitrate_kbps`: mean of what was played.
    """

    t_s: float
    session: str
    network_class: str
    isp: str
    title: str
    started_at_s: float
    startup_s: float | None
    outcome: str
    error: str | None
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


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One request of a player. `status` 0: no answer. `kind`: login, home, play, steer, segment.

    `ok` includes a segment that was given up for another rendition. A request that was still under way when
    its viewer went away has no row. `level`: how good a home page was. For segments: the rendition, the buffer
    afterwards, what served it.
    """

    t_s: float
    started_at_s: float
    session: str
    network_class: str
    isp: str
    kind: str
    target: str
    status: int
    ok: bool
    latency_s: float
    level: str | None
    bitrate_kbps: float | None
    buffer_s: float | None
    cache: str | None
    bytes: int


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
