"""What a node's processor costs: `Cost` of a request, and `ProcessorSlice`, the row of the table `processors`."""

from __future__ import annotations

import fnmatch
import math
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from harness.diagnostics import Code, Diagnostic
from harness.errors import InvalidInput, InvalidValue
from harness.experiment.units import parse_duration

PROCESSORS = "processors"
"""The name of the table of `ProcessorSlice`."""

SLICE_S = 1.0
"""How long one row of the table is."""

_Z99 = 2.3263478740408408
"""The 99th percentile of the standard normal distribution."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor time of one request, such as `Cost("8ms")`, or log-normal as `Cost("5ms", p99="40ms")`.

    `p50`: the median, a duration with its unit. `p99`: the 99th percentile; None when every request costs the same.
    Raises InvalidValue for what is not a duration above 0, and for a 99th percentile below the median.
    """

    p50: str
    p99: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.p50_s <= self.p99_s:
            raise InvalidValue(
                Code.OUT_OF_RANGE,
                f"found a cost of {self.p50}" + ("" if self.p99 is None else f", p99 {self.p99}"),
                "must be > 0s, and p99 at least p50",
            )

    @property
    def p50_s(self) -> float:
        return parse_duration(self.p50)

    @property
    def p99_s(self) -> float:
        return self.p50_s if self.p99 is None else parse_duration(self.p99)

    @property
    def mean_s(self) -> float:
        """The expected cost in seconds. Of a log-normal distribution it is exp(mu + sigma^2 / 2)."""
        return self.p50_s * math.exp(self._sigma**2 / 2)

    @property
    def _sigma(self) -> float:
        return math.log(self.p99_s / self.p50_s) / _Z99

    def sampler(self, rng: random.Random) -> Iterator[float]:
        """Draws in seconds, without end."""
        median_s, sigma = self.p50_s, self._sigma
        while True:
            yield median_s if sigma == 0.0 else median_s * math.exp(rng.gauss(0.0, sigma))


type Costs = Mapping[str, str | Cost]
"""By route: "GET /home", a route as the application has it such as "GET /titles/{id}", a pattern such as "GET /a*", or
"*" for all others. The first that fits counts, an exact one before patterns."""

_KEY = re.compile(r"(\*|[A-Z]+) (/\S*)")


class CostTable:
    """The costs of the routes of one node. InvalidInput for keys and costs that are not valid, with all of them."""

    def __init__(self, costs: Costs) -> None:
        if problems := list(check_costs(costs)):
            raise InvalidInput(problems)
        self._costs = {key: cost if isinstance(cost, Cost) else Cost(cost) for key, cost in costs.items()}

    def __bool__(self) -> bool:
        return bool(self._costs)

    def find(self, method: str, route: str) -> Cost | None:
        """The cost of a request; None for one without. `route`: as the application has it, or the path."""
        exact = self._costs.get(f"{method} {route}")
        if exact is not None:
            return exact
        for key, cost in self._costs.items():
            if key == "*":
                return cost
            of_method, _, pattern = key.partition(" ")
            if of_method in ("*", method) and fnmatch.fnmatchcase(route, pattern):
                return cost
        return None

    def unmatched(self, routes: Iterable[tuple[str, str]]) -> tuple[str, ...]:
        """The keys without a pattern that fit none of these (method, route)."""
        known = {f"{method} {route}" for method, route in routes}
        return tuple(key for key in self._costs if "*" not in key and key not in known)


def check_costs(costs: Costs) -> Iterator[Diagnostic]:
    """What is not valid of the costs of a node."""
    for key, cost in costs.items():
        if key != "*" and not _KEY.fullmatch(key):
            yield Diagnostic(
                Code.BAD_VALUE, f"'{key}' is not a route", 'a method and a path such as "GET /home", or "*"'
            )
        if not isinstance(cost, Cost):
            try:
                Cost(cost)
            except InvalidValue as error:
                yield replace(error.diagnostic, found=f"{key}: {error.diagnostic.found}")


@dataclass(frozen=True, slots=True)
class ProcessorSlice:
    """The processor of one node in one second, a row of the table `processors`. Shares and means are over that time.

    `t_s`: when it began. `utilisation`: the share of its cores that worked, 0 to 1. `queue`, `queue_max`: how many
    pieces of work waited for a core. `started`: how many began, `waited_s`, `waited_max_s`: how long those had waited,
    the mean (None when none began) and the longest.
    """

    t_s: float
    node: str
    role: str
    zone: str
    cores: int
    utilisation: float
    queue: float
    queue_max: int
    started: int
    waited_s: float | None
    waited_max_s: float
