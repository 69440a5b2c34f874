"""How much worse an SLI is in one set of rows than in another. Pure functions.

Rows of one client depend on each other, and a client may have rows in both sets: with common random numbers (the same
seed) it does the same in both runs, so the difference is far better known than either side. Clients are independent.

* Shares: the difference of two ratio estimators, with the variance of its linearization over clients (Cochran, Sampling
  techniques, 3rd ed., 1977, chapter 9A) and Student's t. Where fewer than `MIN_BAD` clients have a bad row, that is no
  normal distribution: then the difference of the exact bounds of both sides (Clopper and Pearson), which is wider.
* Percentiles: the bootstrap over clients (Efron and Tibshirani, An introduction to the bootstrap, 1993, ch. 13), with
  a fixed seed, so that the same rows give the same interval.

Both intervals are two one-sided bounds, each with the confidence that is given.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass

from harness.sli.means import MIN_CLUSTERS
from harness.sli.statistics import CONFIDENCE, percentile, ratio_bounds

MIN_BAD = 10
"""Fewer clients with a bad row, on both sides together, are bounded exactly."""

_RESAMPLES, _MIN_BEYOND = 500, 10


@dataclass(frozen=True, slots=True)
class Samples:
    """Rows: what is measured in each, and its client. A share: 1 for a bad row, 0 for a good one."""

    values: tuple[float, ...]
    clients: tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`effect`: how much larger the second side is; larger is worse. None where a side has no finite value.

    `interval`: None with fewer than `MIN_CLUSTERS` clients, and where it has no finite end.
    """

    first: float
    second: float
    effect: float | None
    interval: tuple[float, float] | None
    clients: int


def compare(
    first: Samples, second: Samples, percent: float | None = None, confidence: float = CONFIDENCE
) -> Comparison:
    """Compare shares of bad rows, or with `percent` that percentile. Both sides have rows."""
    clients = {*first.clients, *second.clients}
    few = min(len({*first.clients}), len({*second.clients})) < MIN_CLUSTERS
    if percent is None:
        low, high = _mean(first), _mean(second)
        interval = None if few else _share_interval(first, second, len(clients), confidence)
        return Comparison(low, high, high - low, interval, len(clients))
    low, high = (percentile(sorted(side.values), percent) for side in (first, second))
    effect = high - low if math.isfinite(low) and math.isfinite(high) else None
    interval = None if few or effect is None else _percentile_interval(first, second, percent, confidence)
    return Comparison(low, high, effect, interval, len(clients))


def _mean(side: Samples) -> float:
    return math.fsum(side.values) / len(side.values)


def _share_interval(first: Samples, second: Samples, clients: int, confidence: float) -> tuple[float, float]:
    from scipy.special import stdtrit

    bad = [len({c for v, c in zip(side.values, side.clients, strict=True) if v}) for side in (first, second)]
    if sum(bad) < MIN_BAD:
        # One client is one sample: a client with any bad row is a bad one.
        bounds = [
            ratio_bounds(len({*side.clients}) - count, len({*side.clients}), confidence)
            for side, count in zip((first, second), bad, strict=True)
        ]
        (good_low, good_high), (good_low_2, good_high_2) = bounds
        return good_low - good_high_2, good_high - good_low_2
    influence: dict[Hashable, float] = defaultdict(float)
    for side, sign in ((first, -1), (second, 1)):
        mean = _mean(side)
        for value, client in zip(side.values, side.clients, strict=True):
            influence[client] += sign * (value - mean) / len(side.values)
    squares = math.fsum(one**2 for one in influence.values())
    margin = float(stdtrit(clients - 1, confidence)) * math.sqrt(clients / (clients - 1) * squares)
    effect = _mean(second) - _mean(first)
    return effect - margin, effect + margin


def _percentile_interval(
    first: Samples, second: Samples, percent: float, confidence: float
) -> tuple[float, float] | None:
    import numpy as np

    names = {name: index for index, name in enumerate(dict.fromkeys((*first.clients, *second.clients)))}
    sides = []
    for side in (first, second):
        order = sorted(range(len(side.values)), key=side.values.__getitem__)
        sides.append(
            (
                np.array([side.values[index] for index in order]),
                np.array([names[side.clients[index]] for index in order]),
            )
        )
    random = np.random.default_rng(0)
    effects = []
    # Enough of them beyond each bound.
    for _ in range(max(_RESAMPLES, math.ceil(_MIN_BEYOND / (1 - confidence)))):
        weights = np.bincount(random.integers(len(names), size=len(names)), minlength=len(names))
        found = []
        for values, owners in sides:
            total = np.cumsum(weights[owners])
            if total[-1]:
                found.append(values[np.searchsorted(total, math.ceil(percent * total[-1] / 100))])
        if len(found) == len(sides):
            effects.append(float(found[1] - found[0]))
    effects.sort()
    edge = math.floor((1 - confidence) * len(effects))
    low, high = effects[edge], effects[-1 - edge]
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None
