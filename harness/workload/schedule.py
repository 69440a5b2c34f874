"""The arrivals of all loads of an experiment, and which of several processes sees to which of them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.experiment.model import Load
from harness.workload.arrivals import arrivals


@dataclass(frozen=True, slots=True, order=True)
class Arrival:
    """The `index`-th client of a load comes `at_s` seconds after the load begins."""

    at_s: float
    load: str
    index: int


def schedule(seed: int, loads: Mapping[str, Load]) -> Iterator[Arrival]:
    """All arrivals in the order of their times: those of `harness.workload.drive.Driver`."""
    return heapq.merge(*(_of(seed, name, load) for name, load in loads.items()))


def _of(seed: int, name: str, load: Load) -> Iterator[Arrival]:
    for index, at_s in enumerate(arrivals(seed, name, load.arrive, load.for_)):
        yield Arrival(at_s, name, index)


def share(all_of_them: Iterator[Arrival], number: int, of: int) -> Iterator[Arrival]:
    """The arrivals that process `number` (from 0) of `of` sees to: each is exactly one process's.

    They are dealt in the order of their times, so that no process gets a burst alone.
    """
    for position, arrival in enumerate(all_of_them):
        if position % of == number:
            yield arrival
