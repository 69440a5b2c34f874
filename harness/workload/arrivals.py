"""When clients arrive: open-loop Poisson arrivals, that do not wait for anybody to be served."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.system.streams import stream


def arrivals(seed: int, load: str, rate_per_s: float, for_s: float) -> Iterator[float]:
    """Ascending times in seconds after the load begins, all below `for_s`.

    The gaps are exponential with mean 1 / `rate_per_s`. Loads of different names are independent, and a
    longer `for_s` adds arrivals without moving the earlier ones. ValueError unless both are
    finite and above 0.
    """
    if not (0 < rate_per_s < math.inf and 0 < for_s < math.inf):
        raise ValueError(
            f"load '{load}': found {rate_per_s:g}/s for {for_s:g} s; both must be more than 0 and finite"
        )
    rng = stream(seed, "arrivals", load)
    time_s = rng.expovariate(rate_per_s)
    while time_s < for_s:
        yield time_s
        time_s += rng.expovariate(rate_per_s)
