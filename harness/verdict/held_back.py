"""Requests that waited for the one before (coordinated omission).

A client that sends its requests one after the other sends none while it waits for a slow answer. Those that it would
have sent meanwhile come later, to a system that has recovered, and their latencies do not show the time in which nobody
was served. This counts them as if they had been sent in time: each keeps its pause after the answer before, and the
slow answer takes the median time (Tene, How NOT to measure latency, 2013, corrects missing samples alike). Rows that
overlap with the one before, as with `harness.constant_pacing`, waited for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from harness.history.read import History
from harness.history.table import quoted
from harness.sli.clients import CLIENTS, RECORDED_BY, records_of_clients
from harness.sli.finite import finite
from harness.sli.formatting import quantity
from harness.sli.percentile import PercentileSlo
from harness.sli.statistics import percentile


@dataclass(frozen=True, slots=True)
class Request:
    """One row of a client, in seconds of the run. `end_s - start_s` is its latency."""

    start_s: float
    end_s: float


def held_back(requests: Sequence[Request], median_s: float, threshold_s: float) -> list[float]:
    """The latencies of one client's requests, in order of their starts, from when they would have been sent.

    A request slower than `threshold_s` holds back those that follow it. One that was not held back keeps its latency.
    """
    found: list[float] = []
    holder: Request | None = None
    intended_s = 0.0
    for index, request in enumerate(requests):
        latency_s = request.end_s - request.start_s
        if holder is not None:
            intended_s += max(0.0, request.start_s - requests[index - 1].end_s) + median_s
            if request.start_s < requests[index - 1].end_s or intended_s >= holder.end_s:
                holder = None
        found.append(latency_s if holder is None else max(latency_s, holder.end_s - intended_s))
        if holder is None and latency_s > threshold_s:
            holder, intended_s = request, request.start_s
    return found


def held_back_note(
    name: str, slo: PercentileSlo, where: str | None, threshold_s: float, history: History
) -> Iterator[str]:
    """A note where the requests that were held back would breach a percentile that the recorded latencies meet."""
    if not records_of_clients(history, slo.table):
        return
    belongs = " AND ".join(
        f"({finite(history, slo.table, condition)}\n)" for condition in (slo.where, where) if condition
    )
    latency = f"CAST(({finite(history, slo.table, slo.value)}\n) AS DOUBLE)"
    source = (
        f"SELECT {RECORDED_BY} AS client, t_s AS end_s, {latency} AS latency_s FROM {quoted(slo.table)} "
        f"WHERE {RECORDED_BY} IN (SELECT client FROM {CLIENTS}) AND coalesce({belongs or 'true'}, true) "
        f"AND isfinite({latency})"
    )
    limit = f"{threshold_s!r}::DOUBLE"
    ((total, slow, median_s),) = history.query(
        f"SELECT count(*), count(*) FILTER (WHERE latency_s > {limit}), median(latency_s) FROM ({source})"
    )
    allowed = 1 - slo.percentile / 100
    if not slow or slow > allowed * total:
        return  # nothing holds anybody back, or the gate does not pass anyway
    rows = history.query(
        f"SELECT client, end_s - latency_s, end_s FROM ({source}) WHERE client IN "
        f"(SELECT client FROM ({source}) WHERE latency_s > {limit}) ORDER BY client, 2, 3"
    )
    latencies: list[float] = []
    for _, of_client in groupby(rows, key=lambda row: row[0]):
        requests = [Request(float(start), float(end)) for _, start, end in of_client]
        latencies += held_back(requests, float(median_s), threshold_s)
    corrected = sum(latency > threshold_s for latency in latencies)
    if corrected <= allowed * total:
        return
    # Rows of other clients are below the threshold, so they rank before all that decide the percentile.
    ranked = [0.0] * (total - len(latencies)) + sorted(latencies)
    value = percentile(ranked, slo.percentile)
    yield (
        f"{name}: {corrected - slow:,} requests were sent late, because their clients waited for a slow answer first; "
        f"counted from when they would have been sent, p{slo.percentile:g} is "
        f"{quantity(value, 's', threshold_s)}, more than {quantity(threshold_s, 's')}: record intended times with "
        "harness.constant_pacing"
    )
