"""Max-min fair sharing of bandwidth: a fluid model of flows over pipes.

A pipe is one direction of a link (or a limit that a fault adds). A flow crosses some pipes and wants as much
as it can get. Rates are max-min fair: no flow can get more without taking from one that has no more than it
(Bertsekas and Gallager, Data Networks, 2nd ed., section 6.5.2, progressive filling). They change only when
a flow starts or stops, its bound or a capacity changes; between such moments every flow moves at a constant rate.

Fair is in proportion to a flow's weight: of flows with different round trips the nearer gets more, as TCP's do.
Weights are RTT^-a, with the queue that stands in front of the pipe; a is 1 where cubic's windows recover as Reno's do,
else 1/2.

A pipe whose flows could not fill it even at their own upper bounds ("not contended") cannot be a bottleneck. It is
not computed and does not connect its flows, which makes this fast: a flow on uncontended pipes runs at its bound at
once; only the flows that contended pipes connect are computed anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import repeat
from operator import attrgetter

from harness.runtime.routes import MSS_BYTES, default_queue_bytes
from harness.sim.network.queue import BottleneckQueue

# Sums of capacities are compared with this relative slack, far below anything observable.
_SLACK = 1.0 + 1e-9

NOTHING_BYTES = 1e-3
"""A smaller remainder of a transfer is a rounding error."""


class Pipe:
    """One direction of a link. Capacity in bytes/s. `queue_bytes`: what waits at most in front of it."""

    __slots__ = (
        "capacity_Bps",
        "datagrams_until_s",
        "demand_Bps",
        "enough_Bps",
        "flows",
        "name",
        "queue",
        "rtts_s",
    )

    def __init__(self, name: str, capacity_Bps: float, queue_bytes: float | None = None) -> None:
        self.name = name
        limit = default_queue_bytes(capacity_Bps * 8) if queue_bytes is None else queue_bytes
        self.queue = BottleneckQueue(capacity_Bps, limit)
        self.datagrams_until_s = 0.0
        """When the last datagram that waits has left."""
        self.rtts_s = 0.0
        """The sum of the round trips of its flows, without queues."""
        self.capacity_Bps = capacity_Bps
        self.enough_Bps = capacity_Bps * _SLACK
        """It is contended when the demand is more than this."""
        self.flows: dict[Flow, None] = {}
        self.demand_Bps = 0.0
        """The sum of the bounds of its flows."""

    @property
    def contended(self) -> bool:
        return self.demand_Bps > self.enough_Bps

    def delay_s(self, now_s: float) -> float:
        """How long something that comes now waits behind the flows that fill the pipe. What moved before a flow ended
        has left the queue."""
        if not self.flows:
            return 0.0
        self.queue.advance(now_s, self.demand_Bps)
        count = len(self.flows)
        return self.queue.delay_s(now_s, count, self.rtts_s / count)

    def limits(self, flow: Flow) -> bool:
        """Whether a flow on it would be faster without it: it is full, or as slow as the flow."""
        return self.contended or self.capacity_Bps <= flow.rate_Bps * _SLACK


class Flow:
    """Moves bytes along pipes. Its rate never exceeds `bound_Bps`. `rtt_s`: its round trip without queues."""

    __slots__ = (
        "active",
        "bound_Bps",
        "pipes",
        "rate_Bps",
        "remaining_bytes",
        "rtt_s",
        "since_s",
        "wake",
        "weight",
    )

    def __init__(self, wake: Callable[[float], None]) -> None:
        self.wake = wake
        """Called with the time when the rate has risen: the flow ends sooner than expected."""
        self.pipes: tuple[Pipe, ...] = ()
        self.rtt_s = 0.0
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

    def start(
        self, flow: Flow, pipes: tuple[Pipe, ...], bound_Bps: float, now_s: float, rtt_s: float = 0.0
    ) -> None:
        """Let a flow move its `remaining_bytes`. Its rate is right at once, or else after `settle`."""
        bound = bound_Bps
        for pipe in pipes:
            bound = min(bound, pipe.capacity_Bps)
        flow.pipes = pipes
        flow.bound_Bps = bound
        flow.since_s = now_s
        flow.active = True
        flow.rtt_s = rtt_s
        contended = False
        for pipe in pipes:
            pipe.queue.advance(now_s, pipe.demand_Bps)
            pipe.flows[flow] = None
            pipe.rtts_s += rtt_s
            pipe.demand_Bps += bound
            if pipe.demand_Bps > pipe.enough_Bps:
                contended = True
                self._dirty[pipe] = None
        flow.rate_Bps = 0.0 if contended else bound

    def limit(self, flow: Flow, bound_Bps: float, now_s: float) -> None:
        """Give a flow another bound. Its rate is right at once, or else after `settle`."""
        bound = bound_Bps
        for pipe in flow.pipes:
            bound = min(bound, pipe.capacity_Bps)
        change = bound - flow.bound_Bps
        if change == 0.0:
            return
        flow.advance(now_s)
        flow.bound_Bps = bound
        contended = False
        for pipe in flow.pipes:
            pipe.queue.advance(now_s, pipe.demand_Bps)
            before = pipe.demand_Bps > pipe.enough_Bps
            pipe.demand_Bps = pipe.demand_Bps + change if len(pipe.flows) > 1 else bound
            if before or pipe.demand_Bps > pipe.enough_Bps:
                contended = True
                self._dirty[pipe] = None
        if not contended:
            flow.rate_Bps = bound

    def stop(self, flow: Flow, now_s: float) -> None:
        """The flow moves nothing any more."""
        flow.advance(now_s)
        for pipe in flow.pipes:
            pipe.queue.advance(now_s, pipe.demand_Bps)
            if pipe.demand_Bps > pipe.enough_Bps:
                self._dirty[pipe] = None
            del pipe.flows[flow]
            # Set to 0 when empty, so that rounding errors do not add up.
            if pipe.flows:
                pipe.demand_Bps -= flow.bound_Bps
                pipe.rtts_s -= flow.rtt_s
            else:
                pipe.demand_Bps = pipe.rtts_s = 0.0
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
            if now_s > flow.since_s:  # as `advance`: on a full link this is most of the work
                if before != math.inf:
                    flow.remaining_bytes -= before * (now_s - flow.since_s)
                flow.since_s = now_s
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
        if len(pipes) == 1:
            flows.update(pipe.flows)
            new: Iterable[Flow] = pipe.flows
        else:
            new = [flow for flow in pipe.flows if flow not in flows]
            flows.update(dict.fromkeys(new))
        for flow in new:
            for other in flow.pipes:
                if other.demand_Bps > other.enough_Bps and other not in seen:
                    seen.add(other)
                    todo.append(other)
    return flows, pipes


def _weights(pipe: Pipe) -> dict[Flow, float]:
    """The weights of the flows of a pipe. Only their ratios matter, and only in this pipe."""
    queue_s = pipe.queue.limit_bytes / pipe.capacity_Bps
    mean_s = max(1e-4, pipe.rtts_s / len(pipe.flows) + queue_s)
    # What a window loses here, in segments, and the time to get it back: as Reno does, or as cubic does.
    lost = 0.3 * pipe.capacity_Bps * mean_s / len(pipe.flows) / MSS_BYTES
    exponent = -1.0 if lost * mean_s / 0.53 < (lost / 0.4) ** (1 / 3) else -0.5
    return {flow: (max(1e-4, flow.rtt_s + queue_s) / mean_s) ** exponent for flow in pipe.flows}


def _fill(flows: dict[Flow, None], pipes: list[Pipe]) -> list[tuple[Flow, float]]:
    """Progressive filling: the flows and their max-min fair rates."""
    even = len(set(map(attrgetter("rtt_s"), flows))) == 1
    if len(pipes) == 1:
        if even:
            return _fill_evenly(sorted(flows, key=attrgetter("bound_Bps")), pipes[0])
        return _fill_one(pipes[0])
    weights = {pipe: dict.fromkeys(pipe.flows, 1.0) if even else _weights(pipe) for pipe in pipes}
    left = {pipe: pipe.capacity_Bps for pipe in pipes}
    weight = {pipe: sum(weights[pipe].values()) for pipe in pipes}
    open_ = {pipe: dict.fromkeys(pipe.flows) for pipe in pipes}
    rates: dict[Flow, float] = {}

    def freeze(flow: Flow, rate: float) -> None:
        rates[flow] = rate
        for pipe in flow.pipes:
            if pipe in left:
                left[pipe] -= rate
                weight[pipe] -= weights[pipe][flow]
                del open_[pipe][flow]

    waiting = sorted(flows, key=attrgetter("bound_Bps"))
    while len(rates) < len(waiting):
        tightest = min(
            (pipe for pipe in pipes if open_[pipe]),
            key=lambda pipe: left[pipe] / len(open_[pipe]),
            default=None,
        )
        if tightest is None:
            for flow in waiting:
                if flow not in rates:
                    freeze(flow, flow.bound_Bps)
            break
        share = max(0.0, left[tightest]) / weight[tightest]
        own = weights[tightest]
        if bound := [flow for flow in open_[tightest] if flow.bound_Bps <= share * own[flow]]:
            for flow in bound:
                freeze(flow, flow.bound_Bps)
        else:
            for flow in list(open_[tightest]):
                # Where weights differ from pipe to pipe, the others may have less left.
                freeze(flow, min([share * own[flow], *(max(0.0, left[p]) for p in flow.pipes if p in left)]))
    return list(rates.items())


def _fill_evenly(waiting: list[Flow], pipe: Pipe) -> list[tuple[Flow, float]]:
    """The same with a single bottleneck and equal weights; `waiting` is sorted by bound."""
    left, count = pipe.capacity_Bps, len(waiting)
    rates: list[tuple[Flow, float]] = []
    for index, flow in enumerate(waiting):
        share = left / (count - index)
        if flow.bound_Bps >= share:
            rates.extend(zip(waiting[index:], repeat(share), strict=False))
            break
        rates.append((flow, flow.bound_Bps))
        left -= flow.bound_Bps
    return rates


def _fill_one(pipe: Pipe) -> list[tuple[Flow, float]]:
    """The same with a single bottleneck and weights."""
    weights = _weights(pipe)
    waiting = sorted(weights, key=lambda flow: flow.bound_Bps / weights[flow])
    left, weight = pipe.capacity_Bps, sum(weights.values())
    rates: list[tuple[Flow, float]] = []
    for index, flow in enumerate(waiting):
        share = left / weight
        if flow.bound_Bps >= share * weights[flow]:
            rates.extend((other, share * weights[other]) for other in waiting[index:])
            break
        rates.append((flow, flow.bound_Bps))
        left -= flow.bound_Bps
        weight -= weights[flow]
    return rates
