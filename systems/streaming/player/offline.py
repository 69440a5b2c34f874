"""The player without HTTP: a movie and a network trace in, a session record out.

The semantics are those of the SABRE simulator (`sabre.py -a throughput|bola -b BUFFER [-noa]`), so that the numbers can
be compared. One of them: after a download was given up, the rule is asked again.
"""

from __future__ import annotations

from dataclasses import dataclass

from .abr import GAMMA_P, Ladder, Progress, make_rule
from .buffer import Buffer
from .estimator import Estimator
from .trace import Download, Period, TraceNetwork


@dataclass(frozen=True, slots=True)
class Movie:
    """`segment_sizes_bits[segment][rendition]`."""

    segment_ms: float
    bitrates_kbps: tuple[float, ...]
    segment_sizes_bits: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class OfflineRecord:
    """One session. Bitrate, its change and utility are means per segment duration of `play_time_s`, so that
    stalls dilute them; `score` is the utility less `GAMMA_P` a second of rebuffering, likewise."""

    play_time_s: float
    startup_s: float
    rebuffer_s: float
    rebuffer_events: int
    bitrate_kbps: float
    bitrate_change_kbps: float
    utility: float
    score: float


def play(
    movie: Movie, trace: tuple[Period, ...], *, abr: str, buffer_s: float, abandon: bool
) -> OfflineRecord:
    """Play the whole movie. `abr`: the name of a rule; ValueError for an unknown one."""
    ladder = Ladder(movie.segment_ms, movie.bitrates_kbps)
    estimator = Estimator(movie.segment_ms)
    buffer_size_ms = buffer_s * 1000
    rule = make_rule(abr, ladder, estimator, buffer_size_ms)
    network = TraceNetwork(trace)
    buffer = Buffer(movie.segment_ms, movie.bitrates_kbps)
    sizes = movie.segment_sizes_bits

    first = network.download(sizes[0][0], None)
    startup_ms = first.time_ms
    buffer.add(0)
    buffer.total_ms += startup_ms
    _learn(estimator, first)

    segment = 1
    while segment < len(sizes):
        excess_ms = buffer.level_ms + movie.segment_ms - buffer_size_ms
        if excess_ms > 0:
            buffer.drain(excess_ms)
            network.wait(excess_ms)
        quality = rule.choose(segment, len(sizes), buffer.level_ms)
        size, level_ms = sizes[segment][quality], buffer.level_ms

        def watch(
            done: float,
            time_ms: float,
            waited_ms: float,
            *,
            q: int = quality,
            n: float = size,
            b: float = level_ms,
        ) -> int | None:
            return rule.give_up(Progress(q, n, done, time_ms, waited_ms), max(0.0, b - time_ms))

        got = network.download(size, watch if abandon else None)
        buffer.drain(got.time_ms)
        if got.gave_up_for is None:
            buffer.add(quality)
            segment += 1
            _learn(estimator, got)
    buffer.play_out()

    per_segment = movie.segment_ms / buffer.total_ms
    return OfflineRecord(
        play_time_s=buffer.total_ms / 1000,
        startup_s=startup_ms / 1000,
        rebuffer_s=buffer.stall_ms / 1000,
        rebuffer_events=buffer.stalls,
        bitrate_kbps=buffer.sum_kbps * per_segment,
        bitrate_change_kbps=buffer.sum_change_kbps * per_segment,
        utility=buffer.sum_utility * per_segment,
        score=(buffer.sum_utility - GAMMA_P * buffer.stall_ms / movie.segment_ms) * per_segment,
    )


def _learn(estimator: Estimator, got: Download) -> None:
    body_ms = got.time_ms - got.waited_ms
    estimator.add(body_ms, got.done_bits / body_ms, got.waited_ms)
