"""A recorded network that a download can be played against. Times in ms, sizes in bits, rates in kbit/s."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

PROGRESS_BITS = 12_000
PROGRESS_MS = 50.0
"""How finely a download is watched for giving it up: after both of these."""


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
        waited_ms = self._latency()
        if watch is None:
            return Download(size_bits, waited_ms + self._receive(size_bits, math.inf, 0)[1], waited_ms, None)
        time_ms, done_bits = waited_ms, 0.0
        # The latency counts towards the first look, later ones are a full step apart.
        look_ms = PROGRESS_MS - waited_ms
        instead = None
        while done_bits < size_bits and instead is None:
            bits, took_ms = self._receive(size_bits - done_bits, PROGRESS_BITS, look_ms)
            done_bits += bits
            time_ms += took_ms
            look_ms = PROGRESS_MS
            if done_bits < size_bits:
                instead = watch(done_bits, time_ms, waited_ms)
        return Download(done_bits, time_ms, waited_ms, instead)

    def _latency(self) -> float:
        """One latency in ms. Where it changes meanwhile, what is left of it passes at the new pace."""
        total_ms, share = 0.0, 1.0
        while True:
            latency_ms = self._periods[self._index].latency_ms
            if share * latency_ms <= self._left_ms:
                self._left_ms -= share * latency_ms
                return total_ms + share * latency_ms
            share -= self._left_ms / latency_ms
            total_ms += self._left_ms
            self._next()

    def _receive(self, all_bits: float, enough_bits: float, enough_ms: float) -> tuple[float, float]:
        """Let bits come until `all_bits` are here, or enough of them for long enough: (bits, ms).

        Counts down and compares bits, not times: of two ways that differ by a rounding error, the one of the
        published simulator, for which a stall of 1e-12 ms is a stall."""
        came_bits = took_ms = 0.0
        while True:
            rate, left_ms = self._periods[self._index].bandwidth_kbps, self._left_ms
            if rate > 0:
                wanted_bits = min(all_bits, max(enough_bits, enough_ms * rate))
                wanted_ms = wanted_bits / rate
                fits = wanted_bits <= left_ms * rate
            else:
                wanted_bits, wanted_ms = 0.0, enough_ms
                fits = enough_bits <= 0 and enough_ms <= left_ms
            if fits:
                self._left_ms -= wanted_ms
                return came_bits + wanted_bits, took_ms + wanted_ms
            came_bits += left_ms * rate
            took_ms += left_ms
            all_bits -= left_ms * rate
            enough_bits -= left_ms * rate
            enough_ms -= left_ms
            self._next()
