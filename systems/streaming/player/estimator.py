"""What a player believes about its network: exponentially weighted throughput and latency.

Two half-lives, the lower throughput and the higher latency of both; corrected for the bias of the start
(the rule of dash.js, as the SABRE simulator has it). Latency is weighted by
request, throughput by download time. bits/ms are kbit/s.
"""

from __future__ import annotations

HALF_LIVES_MS = (3000.0, 8000.0)


class Estimator:
    """`throughput_kbps` and `latency_ms`; both 0 before the first sample."""

    __slots__ = (
        "_halves",
        "_latency",
        "_requests",
        "_rise",
        "_throughput",
        "_time_ms",
        "latency_ms",
        "throughput_kbps",
    )

    def __init__(self, segment_ms: float, half_lives_ms: tuple[float, ...] = HALF_LIVES_MS) -> None:
        self._halves = half_lives_ms
        self._rise = tuple(half / segment_ms for half in half_lives_ms)
        self._throughput = [0.0] * len(half_lives_ms)
        self._latency = [0.0] * len(half_lives_ms)
        self._time_ms = 0.0
        self._requests = 0
        self.throughput_kbps = 0.0
        self.latency_ms = 0.0

    @property
    def has_sample(self) -> bool:
        return self._requests > 0

    def add(self, time_ms: float, throughput_kbps: float, latency_ms: float) -> None:
        """One download: how long its body took, at what rate, and how long its first byte took."""
        self._time_ms += time_ms
        self._requests += 1
        throughputs, latencies = [], []
        for index, (half_ms, half_requests) in enumerate(zip(self._halves, self._rise, strict=True)):
            keep = 0.5 ** (time_ms / half_ms)
            self._throughput[index] = keep * self._throughput[index] + (1 - keep) * throughput_kbps
            keep = 0.5 ** (1 / half_requests)
            self._latency[index] = keep * self._latency[index] + (1 - keep) * latency_ms
            throughputs.append(self._throughput[index] / (1 - 0.5 ** (self._time_ms / half_ms)))
            latencies.append(self._latency[index] / (1 - 0.5 ** (self._requests / half_requests)))
        self.throughput_kbps = min(throughputs)
        self.latency_ms = max(latencies)
