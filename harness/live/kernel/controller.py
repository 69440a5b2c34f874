"""`Controller`: which packets between initiators and proxies the kernel drops, and which queues they wait in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count

from harness.faults.primitives import FaultFailed, LinkShape
from harness.live.kernel import ruleset
from harness.live.kernel.network import KernelNetwork
from harness.live.kernel.requests import Change, ChangeBuilder, Flow, Limit, Lost
from harness.live.kernel.ruleset import Drop

MAX_BPS = 4e9
"""Faster rates are not limited: no machine that this runs on carries more through one queue."""

MIN_MINOR, MAX_MINOR = 0x10, 0xFFFF
BASE_DROPS = 1_000_000
"""Rules for the losses of the topology are numbered from here, faults from 1."""


@dataclass(slots=True)
class _Queue:
    limiter: int
    minor: int
    flows: set[Flow] = field(default_factory=set)


@dataclass(slots=True)
class _Fault:
    drop: Drop | None
    limiter: int | None
    rate_bps: float
    shared: bool
    flows: set[Flow] = field(default_factory=set)

    def queue_key(self, flow: Flow) -> Hashable:
        """The rate is for each pair of hosts, one way, or for everything together."""
        return None if self.shared else (flow.src, flow.dst)


class Controller:
    """To be called by one task at a time. FaultFailed when the kernel refuses a change."""

    def __init__(self, network: KernelNetwork) -> None:
        self._network = network
        self._flows: dict[int, set[Flow]] = defaultdict(set)
        self._queues: dict[tuple[int, Hashable], _Queue] = {}
        self._minors: dict[int, count[int]] = {}
        self._free_minors: dict[int, list[int]] = defaultdict(list)
        self._limiters: dict[Hashable, int] = {}
        self._free_limiters: list[int] = []
        self._faults: dict[int, _Fault] = {}
        self._losses: dict[float, Drop] = {}

    # ------------------------------------------------------------------ flows

    async def add_flows(self, flows: Mapping[Flow, Iterable[int]]) -> None:
        """Add flows, each with the numbers of the faults that apply to it."""
        change = ChangeBuilder()
        for flow, faults in flows.items():
            self._flows[flow.port].add(flow)
            for limit in flow.limits:
                if limit.rate_bps < MAX_BPS:
                    self._enqueue(change, self._limiter(change, limit.group), limit.key, limit.rate_bps, flow)
            if flow.loss:
                change.drop(self._loss(change, flow.loss), flow, add=True)
            for number in faults:
                self._apply(change, number, flow)
        await self._send(change)

    async def remove_flows(self, ports: Iterable[int]) -> None:
        """Forget the flows of removed proxies."""
        change = ChangeBuilder()
        for port in ports:
            for flow in self._flows.pop(port, ()):
                for key, queue in list(self._queues.items()):
                    if flow in queue.flows:
                        self._dequeue(change, key, flow)
                for fault in self._faults.values():
                    if flow in fault.flows:
                        fault.flows.discard(flow)
                        if fault.drop is not None:
                            change.drop(fault.drop, flow, add=False)
                if flow.loss:
                    change.drop(self._losses[flow.loss], flow, add=False)
        await self._send(change)

    # ------------------------------------------------------------------ faults

    async def add_fault(self, number: int, shape: LinkShape | None, flows: Iterable[Flow]) -> None:
        """Drop all packets (`shape` None) or a share, or limit the rate. Latency is not the kernel's."""
        change = ChangeBuilder()
        share = 1.0 if shape is None else shape.loss
        drop = Drop(number, share) if share else None
        if drop is not None:
            change.added.append(drop)
        if shape is not None and shape.bandwidth_bps is not None and shape.bandwidth_bps < MAX_BPS:
            limiter = self._limiter(change, ("fault", number))
            self._faults[number] = _Fault(drop, limiter, shape.bandwidth_bps, shape.shared)
        else:
            self._faults[number] = _Fault(drop, None, MAX_BPS, shared=False)
        for flow in flows:
            self._apply(change, number, flow)
        await self._send(change)

    async def remove_fault(self, number: int) -> Lost | None:
        """What the fault has dropped; None when it drops nothing. Idempotent."""
        fault = self._faults.pop(number, None)
        if fault is None:
            return None
        change = ChangeBuilder()
        if fault.drop is not None:
            change.removed.append(fault.drop)
        if fault.limiter is not None:
            for key in [key for key in self._queues if key[0] == fault.limiter]:
                for flow in list(self._queues[key].flows):
                    self._dequeue(change, key, flow)
            self._free_limiters.append(self._limiters.pop(("fault", number)))
        return (await self._send(change)).get(number)

    # ------------------------------------------------------------------ power

    async def isolate(self, node: str, address: str) -> None:
        """Drop all packets to and from a node, and reset its sockets when they try to send."""
        await self._network.change(Change(ruleset.isolate(address, add=True)))
        await self._network.change_node(node, ruleset.POWER_OFF)

    async def power_on(self, node: str) -> None:
        """Let the node's sockets work again, before its service starts; it stays isolated. Idempotent."""
        await self._network.change_node(node, ruleset.POWER_ON)

    async def restore(self, node: str, address: str) -> None:
        """Undo `isolate`."""
        await self.power_on(node)
        await self._network.change(Change(ruleset.isolate(address, add=False)))

    # ------------------------------------------------------------------ parts of a change

    def _apply(self, change: ChangeBuilder, number: int, flow: Flow) -> None:
        fault = self._faults[number]
        fault.flows.add(flow)
        if fault.drop is not None:
            change.drop(fault.drop, flow, add=True)
        if fault.limiter is not None:
            self._enqueue(change, fault.limiter, fault.queue_key(flow), fault.rate_bps, flow)

    def _loss(self, change: ChangeBuilder, loss: float) -> Drop:
        if loss not in self._losses:
            drop = self._losses[loss] = Drop(BASE_DROPS + len(self._losses), loss)
            change.added.append(drop)
        return self._losses[loss]

    def _limiter(self, change: ChangeBuilder, group: Hashable) -> int:
        """The limiter of the group: a free one, or a new one."""
        if group not in self._limiters:
            if self._free_limiters:
                limiter = self._free_limiters.pop()
            else:
                limiter = len(self._minors)
                self._minors[limiter] = count(MIN_MINOR)
                change.limiters.append(limiter)
            self._limiters[group] = limiter
        return self._limiters[group]

    def _enqueue(
        self, change: ChangeBuilder, limiter: int, key: Hashable, rate_bps: float, flow: Flow
    ) -> None:
        queue = self._queues.get((limiter, key))
        if queue is None:
            free = self._free_minors[limiter]
            minor = free.pop() if free else next(self._minors[limiter])
            if minor > MAX_MINOR:
                raise FaultFailed(
                    f"the kernel network has at most {MAX_MINOR - MIN_MINOR + 1} queues of a kind"
                )
            queue = self._queues[limiter, key] = _Queue(limiter, minor)
            change.limits.append(Limit(limiter, minor, rate_bps))
        queue.flows.add(flow)
        change.queue(limiter, queue.minor, flow, add=True)

    def _dequeue(self, change: ChangeBuilder, key: tuple[int, Hashable], flow: Flow) -> None:
        queue = self._queues[key]
        queue.flows.discard(flow)
        change.queue(queue.limiter, queue.minor, flow, add=False)
        if not queue.flows:
            del self._queues[key]
            change.unlimits.append((queue.limiter, queue.minor))

    async def _send(self, builder: ChangeBuilder) -> dict[int, Lost]:
        drops = [fault.drop for fault in self._faults.values() if fault.drop is not None]
        change = builder.build([*drops, *self._losses.values()])
        lost = {} if change == Change() else await self._network.change(change)
        for limiter, minor in change.unlimits:
            self._free_minors[limiter].append(minor)
        return lost
