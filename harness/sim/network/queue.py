"""`BottleneckQueue`: what waits in front of a pipe, in the fluid model. No events: its length is worked out on demand.

While as much is offered as leaves, or more, the queue grows until it is full; then it follows the sawtooth of cubic's
windows (RFC 9438, section 4: decrease by 0.3, K = cbrt(0.3 Wmax / C), C = 0.4 segments/s^3). Otherwise it drains.
Measured against cubic in namespaces: tests/conformance.
"""

from __future__ import annotations

SEGMENT_BYTES = 1500
"""A full packet in the queue."""

_BETA, _C = 0.3, 0.4


class BottleneckQueue:
    """Of a pipe of `capacity_Bps`. `limit_bytes`: what waits at most."""

    __slots__ = ("_bytes", "_s", "capacity_Bps", "limit_bytes")

    def __init__(self, capacity_Bps: float, limit_bytes: float) -> None:
        self.capacity_Bps = capacity_Bps
        self.limit_bytes = limit_bytes
        self._bytes = 0.0
        self._s = 0.0

    def advance(self, now_s: float, demand_Bps: float) -> None:
        """`demand_Bps` was offered since the last time."""
        span_s = now_s - self._s
        if span_s > 0.0:
            self._s = now_s
            capacity = self.capacity_Bps
            if demand_Bps >= capacity * (1.0 - 1e-9):
                self._bytes = min(self.limit_bytes, self._bytes + capacity * span_s)
            elif self._bytes:
                self._bytes = max(0.0, self._bytes - (capacity - demand_Bps) * span_s)

    def delay_s(self, now_s: float, flows: int, rtt_s: float) -> float:
        """How long something that comes now waits. `flows`, `rtt_s`: how many fill the pipe, and their mean round trip
        without queues."""
        waiting = self._bytes
        if waiting >= self.limit_bytes:
            window = (self.capacity_Bps * rtt_s + self.limit_bytes) / flows
            period_s = (_BETA * window / SEGMENT_BYTES / _C) ** (1 / 3) / flows
            phase = now_s % period_s / period_s
            waiting = max(0.0, waiting - _BETA * window * (1.0 - phase) ** 3)
        return waiting / self.capacity_Bps
