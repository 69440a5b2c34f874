"""A recorded network that a download can be played against. Times in ms, sizes in bits, rates in kbit/s."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

PROGRESS_BITS = 12_000
PROGRESS_MS = 50.0
"""How finely a download is watched for giving it up: after both of these (section 6, point 9)."""


@dataclass(frozen=True, slots=True)
class Period:
    duration_ms: float
    bandwidth_kbps: float
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Download:
    """What became of it. `waited_ms` is the latency, part of `time_ms`. `gave_up_for`: a rendition, or None."""

    done_bits: float
    time_ms: float
    waited_ms: float
    gave_up_for: int | None


class TraceNetwork:
    """Where time stands in a trace that begins again at its end."""

    def __init__(self, periods: tuple[Period, ...]) -> None:
        self._periods = periods
        self._index = 0
        self._left_ms = periods[0].duration_ms

    def _next(self) -> None:
        self._index = (self._index + 1) % len(self._periods)
        self._left_ms = self._periods[self._index].duration_ms

    def wait(self, time_ms: float) -> None:
        """Let time pass."""
        while time_ms > self._left_ms:
            time_ms -= self._left_ms
            self._next()
        self._left_ms -= time_ms

    def download(
        self, size_bits: float, watch: Callable[[float, float, float], int | None] | None
    ) -> Download:
        """One latency, then the body. `watch(done_bits, time_ms, waited_ms)` may give the download up."""
        waited = self._latency()
        if watch is None:
            return Download(size_bits, waited + self._body(size_bits), waited, None)
        time_ms, done = waited, 0.0
        # The latency counts towards the first look, later ones are a full step apart.
        step_ms = PROGRESS_MS - waited
        gave_up = None
        while done < size_bits and gave_up is None:
            bits, took = self._step(size_bits - done, PROGRESS_BITS, step_ms)
            done += bits
            time_ms += took
            step_ms = PROGRESS_MS
            if done < size_bits:
                gave_up = watch(done, time_ms, waited)
        return Download(done, time_ms, waited, gave_up)

    def _latency(self) -> float:
        """One latency, at the speed at which latencies pass meanwhile."""
        total, share = 0.0, 1.0
        while share > 0:
            latency = self._periods[self._index].latency_ms
            time_ms = share * latency
            if time_ms <= self._left_ms:
                total += time_ms
                self._left_ms -= time_ms
                share = 0.0
            else:
                total += self._left_ms
                share -= self._left_ms / latency
                self._next()
        return total

    def _body(self, size_bits: float) -> float:
        total = 0.0
        while size_bits > 0:
            bandwidth = self._periods[self._index].bandwidth_kbps
            if size_bits <= self._left_ms * bandwidth:
                time_ms = size_bits / bandwidth
                total += time_ms
                self._left_ms -= time_ms
                size_bits = 0.0
            else:
                total += self._left_ms
                size_bits -= self._left_ms * bandwidth
                self._next()
        return total

    def _step(self, size_bits: float, least_bits: float, least_ms: float) -> tuple[float, float]:
        """Go on until both of the least are there, or all of it: bits and time."""
        total_bits = total_ms = 0.0
        while size_bits > 0 and (least_bits > 0 or least_ms > 0):
            bandwidth = self._periods[self._index].bandwidth_kbps
            if bandwidth > 0:
                wanted = max(least_bits, least_ms * bandwidth)
                here = self._left_ms * bandwidth
                if size_bits <= wanted and size_bits <= here:
                    bits = size_bits
                    time_ms = bits / bandwidth
                    self._left_ms -= time_ms
                elif wanted <= here:
                    bits = wanted
                    time_ms = bits / bandwidth
                    # Done, whatever rounding says below.
                    least_bits = least_ms = 0.0
                    self._left_ms -= time_ms
                else:
                    bits = here
                    time_ms = self._left_ms
                    self._next()
            else:
                bits = 0.0
                if least_bits > 0 or least_ms > self._left_ms:
                    time_ms = self._left_ms
                    self._next()
                else:
                    time_ms = least_ms
                    self._left_ms -= time_ms
            total_bits += bits
            total_ms += time_ms
            size_bits -= bits
            least_bits -= bits
            least_ms -= time_ms
        return total_bits, total_ms
