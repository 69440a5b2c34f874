"""Open-loop arrivals: clients come when they come, however the system fares."""

from __future__ import annotations

import random
from collections.abc import Iterator

from harness.spec.model import Load


def arrival_times(load: Load, name: str, seed: int) -> Iterator[float]:
    """Poisson arrivals of one load, in seconds since it began: exponential gaps from a stream of its own."""
    rng = random.Random(f"{seed}/arrivals/{name}")
    time_s = 0.0
    while load.arrive > 0:
        time_s += rng.expovariate(load.arrive)
        if time_s >= load.for_:
            return
        yield time_s


def client_rng(name: str, index: int, seed: int) -> random.Random:
    """The stream that describes one client: adding clients does not change the others."""
    return random.Random(f"{seed}/client/{name}/{index}")
