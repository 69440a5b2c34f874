"""What the page of a run shows of the streaming service over time."""

from __future__ import annotations

from harness.system import Chart, StateChart

CHARTS = (
    Chart(
        "Startup time",
        table="sessions",
        shows="percentile",
        value="startup_s",
        by="network_class",
        at="started_at_s + startup_s",
        where="startup_s is not null",
        slo="startup-time",
        dots=True,
        note="Each dot is a session, placed when it began to play",
    ),
    Chart(
        "Good answers (requests)",
        table="requests",
        shows="share",
        value="ok",
        by="kind",
        note="Requests of players, by kind",
    ),
    Chart(
        "Good answers (served)",
        table="served",
        shows="share",
        value="status between 200 and 399",
        by="route",
        note="Answers of gateways, by route",
    ),
    Chart(
        "Delivered bitrate",
        table="requests",
        shows="mean",
        value="bitrate_kbps * 1000",
        by="network_class",
        where="bitrate_kbps is not null",
        unit="bps",
        note="Bitrate of the segments that arrived",
    ),
    Chart(
        "Stalls",
        table="events",
        shows="sum",
        value="CAST(fields->>'stall_s' AS DOUBLE)",
        where="event = 'player.stall'",
        note="Interrupted playback, when the interruption ended",
        empty="No playback was interrupted.",
    ),
    StateChart(
        "Breaker states",
        table="events",
        value="fields->>'state'",
        by="host || ' ' || (fields->>'dependency')",
        where="event = 'breaker.state'",
        initial="closed",
        levels={"closed": "ok", "half-open": "warn", "open": "bad"},
        note="Only of those that changed",
    ),
    Chart(
        "Latency (requests)",
        table="requests",
        shows="percentile",
        value="latency_s",
        by="kind",
        note="Requests of players, by kind",
    ),
    Chart(
        "Latency (served)",
        table="served",
        shows="percentile",
        value="latency_s",
        by="route",
        note="Answers of gateways, by route",
    ),
)
