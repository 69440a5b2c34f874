"""What the kernel does to the legs between openers and proxies: which ports are dropped, which wait in which queue."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count

from harness.faults.primitives import Exposure, LinkShape
from harness.live.kernel import ruleset
from harness.live.kernel.network import KernelNetwork
from harness.live.kernel.requests import Change, Limit, Lost
from harness.live.kernel.ruleset import DOWN, UP, Drop

MAX_BPS = 4e9
"""What is faster is not limited: no machine that this runs on carries more through one queue."""

FIRST_MINOR, LAST_MINOR = 0x10, 0xFFFF
BASE_DROPS = 1_000_000
"""Rules for the losses of the topology are numbered from here, faults from 1."""


@dataclass(frozen=True, slots=True)
class Cap:
    """A limit of the topology that a flow shares with all others of the same `key`. In one `group` a flow has at
    most one. bit/s."""

    group: Hashable
    key: Hashable
    rate_bps: float


@dataclass(frozen=True, slots=True)
class Flow:
    """One direction of the leg at a proxy's port: `way` to or from the proxy, from host `src` to host `dst`.
    `caps` and `loss` are the topology's."""

    port: int
    way: str
    src: str
    dst: str
    caps: tuple[Cap, ...] = field(default=(), compare=False)
    loss: float = field(default=0.0, compare=False)


@dataclass(slots=True)
class _Queue:
    limiter: int
    minor: int
    flows: set[Flow] = field(default_factory=set)


@dataclass(slots=True)
class _Fault:
    shape: LinkShape | None
    drop: Drop | None
    limiter: int | None
    flows: set[Flow] = field(default_factory=set)

    def queue_of(self, flow: Flow) -> Hashable:
        """Bandwidth is for each pair of hosts, one way, or for everything together."""
        assert self.shape is not None
        return None if self.shape.shared else (flow.src, flow.dst)


class Controller:
    """To be called by one task at a time. FaultFailed when the kernel does not take a change."""

    def __init__(self, network: KernelNetwork) -> None:
        self._network = network
        self._flows: dict[int, set[Flow]] = defaultdict(set)
        self._queues: dict[tuple[int, Hashable], _Queue] = {}
        self._minors: dict[int, count[int]] = {}
        self._free_minors: dict[int, list[int]] = defaultdict(list)
        self._limiters: dict[Hashable, int] = {}
        self._free_limiters: list[int] = []
        self._n_limiters = 0
        self._faults: dict[int, _Fault] = {}
        self._losses: dict[float, Drop] = {}

    # ------------------------------------------------------------------ flows

    async def opened(self, flows: Mapping[Flow, Iterable[int]]) -> None:
        """New flows, and the faults in force that each is under."""
        change = _Changing()
        for flow, faults in flows.items():
            self._flows[flow.port].add(flow)
            for cap in flow.caps:
                if cap.rate_bps < MAX_BPS:
                    self._enqueue(change, self._limiter(change, cap.group), cap.key, cap.rate_bps, flow)
            if flow.loss:
                change.ports(self._loss(change, flow.loss), flow, add=True)
            for number in faults:
                self._lay(change, number, flow)
        await self._make(change)

    async def closed(self, ports: Iterable[int]) -> None:
        change = _Changing()
        for port in ports:
            for flow in self._flows.pop(port, ()):
                for key, queue in list(self._queues.items()):
                    if flow in queue.flows:
                        self._dequeue(change, key, flow)
                for fault in self._faults.values():
                    if flow in fault.flows:
                        fault.flows.discard(flow)
                        if fault.drop is not None:
                            change.ports(fault.drop, flow, add=False)
                if flow.loss:
                    change.ports(self._losses[flow.loss], flow, add=False)
        await self._make(change)

    # ------------------------------------------------------------------ faults

    async def add(self, number: int, shape: LinkShape | None, flows: Iterable[Flow]) -> None:
        """Drop all of it (`shape` None) or a share, or limit its rate; latency is not the kernel's."""
        change = _Changing()
        share = 1.0 if shape is None else shape.loss
        fault = self._faults[number] = _Fault(shape, Drop(number, share) if share else None, None)
        if fault.drop is not None:
            change.before.append(ruleset.drop_made(fault.drop))
            change.drops = True
        if shape is not None and shape.bandwidth_bps is not None and shape.bandwidth_bps < MAX_BPS:
            fault.limiter = self._limiter(change, ("fault", number))
        for flow in flows:
            self._lay(change, number, flow)
        await self._make(change)

    async def remove(self, number: int) -> Lost | None:
        """Idempotent. What the rule has dropped; None when it is none that drops."""
        fault = self._faults.pop(number, None)
        if fault is None:
            return None
        change = _Changing()
        if fault.drop is not None:
            change.drops = True
            change.after.append(ruleset.drop_gone(fault.drop))
            change.count.append(number)
        if fault.limiter is not None:
            for key in [key for key in self._queues if key[0] == fault.limiter]:
                for flow in list(self._queues[key].flows):
                    self._dequeue(change, key, flow)
            self._free_limiters.append(self._limiters.pop(("fault", number)))
        return (await self._make(change)).get(number)

    async def dark(self, node: str, address: str) -> None:
        """Nothing reaches the node and nothing leaves it; what its sockets want to send ends them."""
        await self._network.change(Change(ruleset.dark(address, True)))
        await self._network.within(node, ruleset.POWERLESS)

    async def powered(self, node: str) -> None:
        """Its sockets work again, before its service is started; it is still dark. Idempotent."""
        await self._network.within(node, ruleset.POWERED)

    async def bright(self, node: str, address: str) -> None:
        await self.powered(node)
        await self._network.change(Change(ruleset.dark(address, False)))

    # ------------------------------------------------------------------ what a change consists of

    def _lay(self, change: _Changing, number: int, flow: Flow) -> None:
        fault = self._faults[number]
        fault.flows.add(flow)
        if fault.drop is not None:
            change.ports(fault.drop, flow, add=True)
        if fault.limiter is not None:
            assert fault.shape is not None
            assert fault.shape.bandwidth_bps is not None
            self._enqueue(change, fault.limiter, fault.queue_of(flow), fault.shape.bandwidth_bps, flow)

    def _loss(self, change: _Changing, loss: float) -> Drop:
        if loss not in self._losses:
            drop = self._losses[loss] = Drop(BASE_DROPS + len(self._losses), loss)
            change.before.append(ruleset.drop_made(drop))
            change.drops = True
        return self._losses[loss]

    def _limiter(self, change: _Changing, group: Hashable) -> int:
        """One that nobody uses, or a new one."""
        if group not in self._limiters:
            if self._free_limiters:
                limiter = self._free_limiters.pop()
            else:
                limiter = self._n_limiters
                self._n_limiters += 1
                self._minors[limiter] = count(FIRST_MINOR)
                change.limiters.append(limiter)
            self._limiters[group] = limiter
        return self._limiters[group]

    def _enqueue(self, change: _Changing, limiter: int, key: Hashable, rate_bps: float, flow: Flow) -> None:
        queue = self._queues.get((limiter, key))
        if queue is None:
            free = self._free_minors[limiter]
            minor = free.pop() if free else next(self._minors[limiter])
            assert minor <= LAST_MINOR
            queue = self._queues[limiter, key] = _Queue(limiter, minor)
            change.limits.append(Limit(limiter, minor, rate_bps))
        queue.flows.add(flow)
        change.queued[limiter, flow.way][flow.port] = queue.minor

    def _dequeue(self, change: _Changing, key: tuple[int, Hashable], flow: Flow) -> None:
        queue = self._queues[key]
        queue.flows.discard(flow)
        change.unqueued[queue.limiter, flow.way][flow.port] = queue.minor
        if not queue.flows:
            del self._queues[key]
            change.unlimits.append((queue.limiter, queue.minor))

    async def _make(self, change: _Changing) -> dict[int, Lost]:
        drops = [fault.drop for fault in self._faults.values() if fault.drop is not None]
        made = change.made([*drops, *self._losses.values()])
        lost = {} if made == Change() else await self._network.change(made)
        for limiter, minor in made.unlimits:
            self._free_minors[limiter].append(minor)
        return lost


class _Changing:
    """A `Change` that is being put together."""

    def __init__(self) -> None:
        self.before: list[str] = []
        self.after: list[str] = []
        self.drops = False
        self.limiters: list[int] = []
        self.limits: list[Limit] = []
        self.unlimits: list[tuple[int, int]] = []
        self.count: list[int] = []
        self.queued: dict[tuple[int, str], dict[int, int]] = defaultdict(dict)
        self.unqueued: dict[tuple[int, str], dict[int, int]] = defaultdict(dict)
        self._ports: dict[tuple[Drop, str, bool], list[int]] = defaultdict(list)

    def ports(self, drop: Drop, flow: Flow, *, add: bool) -> None:
        self._ports[drop, flow.way, add].append(flow.port)

    def made(self, drops: Iterable[Drop]) -> Change:
        parts = list(self.before)
        for (drop, way, add), ports in self._ports.items():
            parts.append(ruleset.drop_ports(drop, way, ports, add=add))
        for queues, add in ((self.unqueued, False), (self.queued, True)):
            for (limiter, way), by_port in queues.items():
                parts.append(ruleset.queue_ports(limiter, way, by_port, add=add))
        if self.drops:
            parts.append(ruleset.drops_in_force(drops))
        parts += self.after
        return Change(
            "".join(parts),
            tuple(self.limiters),
            tuple(self.limits),
            tuple(self.unlimits),
            tuple(self.count),
        )


def exposure(shape: LinkShape | None, lost: Lost | None, passed: Exposure) -> Exposure:
    """What a fault on traffic has touched. `passed`: what the proxies saw go by.

    What was dropped never came to a proxy: the kernel counts that. A loss that dropped nothing has touched nothing,
    unless it also delays or limits. Bytes of dropped packets include their headers.
    """
    if lost is None:
        return passed
    if shape is None:
        return Exposure(connections=lost.connections, connects_blocked=lost.connects, bytes=lost.bytes)
    if shape.latency_s or shape.jitter_s or shape.bandwidth_bps is not None:
        return Exposure(connections=max(passed.connections, lost.either), bytes=passed.bytes)
    return Exposure(connections=lost.either, bytes=lost.bytes)


__all__ = ["DOWN", "UP", "Cap", "Controller", "Flow", "exposure"]
