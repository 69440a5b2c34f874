"""The arrivals of all loads of an experiment, and how several processes divide them."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from harness.system.streams import stream


def arrival_times(seed: int, load: str, rate_per_s: float, for_s: float) -> Iterator[float]:
    """Ascending times in seconds after the start of the load, all below `for_s`.

    The gaps are exponential with mean 1 / `rate_per_s`. Loads of different names are independent, and a
    longer `for_s` adds arrivals without moving the earlier ones. ValueError unless both are
    finite and above 0.
    """
    if not (0 < rate_per_s < math.inf and 0 < for_s < math.inf):
        raise ValueError(
            f"load '{load}': rate and duration must be finite and above 0; found {rate_per_s:g}/s for {for_s:g} s"
        )
    rng = stream(seed, "arrivals", load)
    time_s = rng.expovariate(rate_per_s)
    while time_s < for_s:
        yield time_s
        time_s += rng.expovariate(rate_per_s)


class ArrivalRate(Protocol):
    """What the schedule reads of a `harness.experiment.model.Load`: clients a second, for how many seconds."""

    @property
    def arrive(self) -> float: ...
    @property
    def for_(self) -> float: ...


@dataclass(frozen=True, slots=True, order=True)
class Arrival:
    """The `index`-th client of a load arrives `at_s` seconds after the load starts."""

    at_s: float
    load: str
    index: int


def scheduled_arrivals(seed: int, loads: Mapping[str, ArrivalRate]) -> Iterator[Arrival]:
    """All arrivals in the order of their times: the same as those of `harness.workload.driver.Driver`."""
    return heapq.merge(*(_arrivals_of(seed, name, load) for name, load in loads.items()))


def _arrivals_of(seed: int, name: str, load: ArrivalRate) -> Iterator[Arrival]:
    for index, at_s in enumerate(arrival_times(seed, name, load.arrive, load.for_)):
        yield Arrival(at_s, name, index)


def share_of(arrivals: Iterable[Arrival], number: int, processes: int) -> Iterator[Arrival]:
    """The arrivals that process `number` (from 0) serves; every arrival belongs to exactly one process.

    They are dealt in the order of their times, so that a burst is spread over all processes.
    """
    for position, arrival in enumerate(arrivals):
        if position % processes == number:
            yield arrival
