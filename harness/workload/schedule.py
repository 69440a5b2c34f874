"""The arrivals of all loads of an experiment, and how several processes divide them."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.experiment.load import LoadSegment
from harness.system.streams import stream


def arrival_times(seed: int, load: str, segments: Iterable[LoadSegment]) -> Iterator[float]:
    """Ascending times in seconds after the start of the load: a Poisson process with the rate of the segments.

    By inversion: each gap takes an exponential amount with mean 1 of the area below the rate. Loads of different
    names are independent, and what is added at the end moves no earlier arrival. ValueError unless rates are finite and
    not negative, durations finite and above 0, and at least one rate is above 0.
    """
    segments = tuple(segments)
    _check(load, segments)
    rng = stream(seed, "arrivals", load)
    area = rng.expovariate(1.0)
    begin_s = 0.0
    for segment in segments:
        first, slope = segment.from_per_s, (segment.to_per_s - segment.from_per_s) / segment.for_s
        end_s, time_s = begin_s + segment.for_s, begin_s
        while True:
            rate = first + slope * (time_s - begin_s)
            next_s = time_s + _gap_s(area, rate, slope)
            if next_s >= end_s:
                area = max(0.0, area - (rate + segment.to_per_s) / 2 * (end_s - time_s))
                break
            time_s = next_s
            yield time_s
            area = rng.expovariate(1.0)
        begin_s = end_s


def _check(load: str, segments: Sequence[LoadSegment]) -> None:
    rates = [rate for one in segments for rate in (one.from_per_s, one.to_per_s)]
    if not (
        all(0 <= rate < math.inf for rate in rates)
        and all(0 < one.for_s < math.inf for one in segments)
        and any(rates)
    ):
        raise ValueError(
            f"load '{load}': rates must be finite and >= 0, one of them > 0, durations finite and > 0; "
            f"found {[*segments]}"
        )


def _gap_s(area: float, rate: float, slope: float) -> float:
    """When rate t + slope t^2 / 2 is `area`, solved without cancellation; infinity where it never is."""
    if not slope:
        return area / rate if rate else math.inf
    root = rate * rate + 2 * slope * area
    if root < 0:
        return math.inf
    return 2 * area / (max(0.0, rate) + math.sqrt(root)) if root else 0.0


class Arrivals(Protocol):
    """What the schedule reads of a `harness.experiment.model.Load`."""

    @property
    def segments(self) -> tuple[LoadSegment, ...]: ...


@dataclass(frozen=True, slots=True, order=True)
class Arrival:
    """The `index`-th client of a load arrives `at_s` seconds after the load starts."""

    at_s: float
    load: str
    index: int


def scheduled_arrivals(seed: int, loads: Mapping[str, Arrivals]) -> Iterator[Arrival]:
    """All arrivals in the order of their times: the same as those of `harness.workload.driver.Driver`."""
    return heapq.merge(*(_arrivals_of(seed, name, load) for name, load in loads.items()))


def _arrivals_of(seed: int, name: str, load: Arrivals) -> Iterator[Arrival]:
    for index, at_s in enumerate(arrival_times(seed, name, load.segments)):
        yield Arrival(at_s, name, index)


def share_of(arrivals: Iterable[Arrival], number: int, processes: int) -> Iterator[Arrival]:
    """The arrivals that process `number` (from 0) serves; every arrival belongs to exactly one process.

    They are dealt in the order of their times, so that a burst is spread over all processes.
    """
    for position, arrival in enumerate(arrivals):
        if position % processes == number:
            yield arrival
