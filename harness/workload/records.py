"""What the driver of a load records, besides what clients report: one row a client, a session and a request.

Nothing is rounded. Times are seconds of the run. Clients become the table `clients` of every history, the others the
tables `load_sessions` and `load_requests` of a live run's history; gates read the system's own tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

type ClientOutcome = Literal["left", "cancelled", "failed", "unended"]
"""How a client ended: by itself; when it was cancelled at the end of the drain; its code raised; it did not end though
it was cancelled."""


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """One client that arrived. `ended_s` None: it has not ended."""

    client: str
    workload: str
    group: str
    arrived_s: float
    ended_s: float | None = None
    outcome: ClientOutcome = "unended"
    error: str | None = None


@dataclass(frozen=True, slots=True)
class LoadSession:
    """One client, from its arrival to its end.

    `intended_s`: its time in the schedule of arrivals; `t_s`: when it started; `late_s`: the difference.
    `left_s` None: it was still there when the run ended. `worker`: the process that ran it.
    """

    t_s: float
    client: str
    load: str
    index: int
    worker: str
    intended_s: float
    late_s: float
    left_s: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """One HTTP request as the client's process saw it, from the call to the last byte of the answer.

    `t_s`: its end. `first_byte_s`: from the call to the answer's headers; None when there was no answer.
    `status` 0: no answer. `complete`: the body was read to its end. `error`: why it failed; a client that closes
    an answer before its end, by its own choice, is no error. `bytes`: of the body, as far as it arrived.
    """

    t_s: float
    client: str
    worker: str
    target: str
    method: str
    path: str
    status: int
    started_at_s: float
    first_byte_s: float | None
    latency_s: float
    bytes: int
    complete: bool
    error: str | None


type LoadRecord = LoadSession | LoadRequest

TABLES: dict[str, type] = {"load_sessions": LoadSession, "load_requests": LoadRequest}

LATE_S = 0.1
"""A session that starts this much after its intended time is late."""


@dataclass(frozen=True, slots=True)
class Lateness:
    """How late sessions started, in seconds. `late`: how many of them by more than `LATE_S`."""

    sessions: int
    median_s: float
    p99_s: float
    max_s: float
    late: int


def lateness(values: Sequence[float]) -> Lateness | None:
    """None for no session. The 99th percentile is the smallest value that 99 % do not exceed."""
    if not values:
        return None
    ordered = sorted(values)
    last = len(ordered) - 1
    return Lateness(
        len(ordered),
        ordered[last // 2],
        ordered[min(last, -(-99 * len(ordered) // 100) - 1)],
        ordered[-1],
        sum(value > LATE_S for value in ordered),
    )
