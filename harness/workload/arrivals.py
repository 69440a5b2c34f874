"""When clients arrive: an open-loop Poisson process, independent of how clients are served."""

from __future__ import annotations

import math
from collections.abc import Iterator

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
