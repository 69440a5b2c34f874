"""Max-min fair sharing of bandwidth: a fluid model of flows over pipes.

A pipe is one direction of a link (or a limit that a fault adds). A flow crosses some pipes and wants as much
as it can get. Rates are max-min fair: no flow can get more without taking from one that has no more than it
(Bertsekas and Gallager, Data Networks, 2nd ed., section 6.5.2, progressive filling). They change only when
a flow starts or stops, or a capacity changes; between such moments every flow moves at a constant rate.

A pipe whose flows could not fill it even at their own upper bounds ("not contended") cannot be a bottleneck. It is
not computed and does not connect its flows, which makes this fast: a flow on uncontended pipes runs at its bound at
once; only the flows that contended pipes connect are computed anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from operator import attrgetter

# Sums of capacities are compared with this relative slack, far below anything observable.
_SLACK = 1.0 + 1e-9

NOTHING_BYTES = 1e-3
"""A smaller remainder of a transfer is a rounding error."""


class Pipe:
    """One direction of a link. Capacity in bytes/s."""

    __slots__ = ("capacity_Bps", "demand_Bps", "enough_Bps", "flows", "name")

    def __init__(self, name: str, capacity_Bps: float) -> None:
        self.name = name
        self.capacity_Bps = capacity_Bps
        self.enough_Bps = capacity_Bps * _SLACK
        """It is contended when the demand is more than this."""
        self.flows: dict[Flow, None] = {}
        self.demand_Bps = 0.0
        """The sum of the bounds of its flows."""

    @property
    def contended(self) -> bool:
        return self.demand_Bps > self.enough_Bps

    def limits(self, flow: Flow) -> bool:
        """Whether a flow on it would be faster without it: it is full, or as slow as the flow."""
        return self.contended or self.capacity_Bps <= flow.rate_Bps * _SLACK


class Flow:
    """Moves bytes along pipes. Its rate never exceeds `bound_Bps`."""

    __slots__ = ("active", "bound_Bps", "pipes", "rate_Bps", "remaining_bytes", "since_s", "wake")

    def __init__(self, wake: Callable[[float], None]) -> None:
        self.wake = wake
        """Called with the time when the rate has risen: the flow ends sooner than expected."""
        self.pipes: tuple[Pipe, ...] = ()
        self.bound_Bps = math.inf
        self.rate_Bps = 0.0
        self.remaining_bytes = 0.0
        self.since_s = 0.0
        self.active = False

    def advance(self, now_s: float) -> None:
        """Account for what has moved since the last time."""
        if now_s > self.since_s:
            if self.rate_Bps != math.inf:
                self.remaining_bytes -= self.rate_Bps * (now_s - self.since_s)
            self.since_s = now_s

    def done(self, now_s: float) -> bool:
        """Whether the rest is a rounding error, or takes no time on this clock."""
        left = self.remaining_bytes
        return left < NOTHING_BYTES or (self.rate_Bps > 0.0 and now_s + left / self.rate_Bps <= now_s)


class FairShare:
    """All flows of a network; `settle` gives every flow its max-min fair rate."""

    def __init__(self) -> None:
        self._dirty: dict[Pipe, None] = {}

    def start(self, flow: Flow, pipes: tuple[Pipe, ...], bound_Bps: float, now_s: float) -> None:
        """Let a flow move its `remaining_bytes`. Its rate is right at once, or else after `settle`."""
        bound = bound_Bps
        for pipe in pipes:
            bound = min(bound, pipe.capacity_Bps)
        flow.pipes = pipes
        flow.bound_Bps = bound
        flow.since_s = now_s
        flow.active = True
        contended = False
        for pipe in pipes:
            pipe.flows[flow] = None
            pipe.demand_Bps += bound
            if pipe.demand_Bps > pipe.enough_Bps:
                contended = True
                self._dirty[pipe] = None
        flow.rate_Bps = 0.0 if contended else bound

    def stop(self, flow: Flow, now_s: float) -> None:
        """The flow moves nothing any more."""
        flow.advance(now_s)
        for pipe in flow.pipes:
            if pipe.demand_Bps > pipe.enough_Bps:
                self._dirty[pipe] = None
            del pipe.flows[flow]
            # Set to 0 when empty, so that rounding errors do not add up.
            pipe.demand_Bps = pipe.demand_Bps - flow.bound_Bps if pipe.flows else 0.0
        flow.active = False
        flow.rate_Bps = 0.0

    @property
    def unsettled(self) -> bool:
        return bool(self._dirty)

    def settle(self, now_s: float) -> None:
        """Give new rates to all flows that the changes affect; wake those whose rate has risen."""
        dirty, self._dirty = self._dirty, {}
        seen: set[Pipe] = set()
        for pipe in dirty:
            if pipe.contended:
                if pipe not in seen:
                    _give(_fill(*_component(pipe, seen)), now_s)
                continue
            # It limits no flow any more; the new rates of its flows depend on their other pipes.
            free: list[tuple[Flow, float]] = []
            for flow in pipe.flows:
                other = next((other for other in flow.pipes if other.contended), None)
                if other is None:
                    free.append((flow, flow.bound_Bps))
                elif other not in seen:
                    _give(_fill(*_component(other, seen)), now_s)
            _give(free, now_s)


def _give(rates: list[tuple[Flow, float]], now_s: float) -> None:
    """Set these rates."""
    for flow, rate in rates:
        before = flow.rate_Bps
        if rate != before:
            flow.advance(now_s)
            flow.rate_Bps = rate
            if rate > before:
                flow.wake(now_s)


def _component(first: Pipe, seen: set[Pipe]) -> tuple[dict[Flow, None], list[Pipe]]:
    """All flows and contended pipes that are connected to a contended pipe, in a fixed order."""
    flows: dict[Flow, None] = {}
    pipes: list[Pipe] = []
    todo = [first]
    seen.add(first)
    while todo:
        pipe = todo.pop()
        pipes.append(pipe)
        for flow in pipe.flows:
            if flow not in flows:
                flows[flow] = None
                for other in flow.pipes:
                    if other.demand_Bps > other.enough_Bps and other not in seen:
                        seen.add(other)
                        todo.append(other)
    return flows, pipes


def _fill(flows: Iterable[Flow], pipes: list[Pipe]) -> list[tuple[Flow, float]]:
    """Progressive filling: the flows and their max-min fair rates."""
    waiting = sorted(flows, key=attrgetter("bound_Bps"))
    if len(pipes) == 1:
        return _fill_one(waiting, pipes[0])
    left = {pipe: pipe.capacity_Bps for pipe in pipes}
    count = {pipe: len(pipe.flows) for pipe in pipes}
    rates: dict[Flow, float] = {}

    def freeze(flow: Flow, rate: float) -> None:
        rates[flow] = rate
        for pipe in flow.pipes:
            if pipe in left:
                left[pipe] -= rate
                count[pipe] -= 1

    index = 0
    while index < len(waiting):
        tightest, share = None, math.inf
        for pipe in pipes:
            if count[pipe]:
                fair = max(left[pipe], 0.0) / count[pipe]
                if fair < share:
                    tightest, share = pipe, fair
        flow = waiting[index]
        if flow in rates:
            index += 1
        elif flow.bound_Bps <= share or tightest is None:
            freeze(flow, flow.bound_Bps)
            index += 1
        else:
            for member in tightest.flows:
                if member not in rates:
                    freeze(member, share)
    return list(rates.items())


def _fill_one(waiting: list[Flow], pipe: Pipe) -> list[tuple[Flow, float]]:
    """The same with a single bottleneck; `waiting` is sorted by bound."""
    left, count = pipe.capacity_Bps, len(waiting)
    rates: list[tuple[Flow, float]] = []
    for index, flow in enumerate(waiting):
        share = left / (count - index)
        if flow.bound_Bps >= share:
            rates.extend((other, share) for other in waiting[index:])
            break
        rates.append((flow, flow.bound_Bps))
        left -= flow.bound_Bps
    return rates
