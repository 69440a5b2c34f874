"""The primitives of `harness.faults.primitives` on real processes, through proxies and signals."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from harness.faults.primitives import (
    Applied,
    EndpointMatch,
    Exposure,
    FaultFailed,
    HttpRule,
    LinkShape,
    PathMatch,
)
from harness.live.cpu import NoQuota
from harness.live.kernel.controller import exposure
from harness.live.ledger import Lease
from harness.live.nodes import Hold, LiveNode, Stop
from harness.live.proxy_links import ProxyLinks
from harness.runtime.contract import NotReady


class InForce:
    """An `Applied`: noted in the lease, undone once, its exposure known when it is undone."""

    def __init__(
        self, lease: Lease, fault: int, undo: Callable[[], Awaitable[None]], count: Callable[[], Exposure]
    ) -> None:
        self._lease = lease
        self._fault = fault
        self._undo: Callable[[], Awaitable[None]] | None = undo
        self._count = count

    async def undo(self) -> None:
        undo, self._undo = self._undo, None
        if undo is not None:
            try:
                await undo()
            except BaseException:
                self._undo = undo  # it can be tried again
                raise
            self._lease.undone(self._fault)

    def exposure(self) -> Exposure:
        return self._count()


class LivePrimitives:
    """Every primitive; loss and shared limits only with the kernel network (proxies cannot: `FaultFailed`).

    Exposure of what lies on traffic is counted by the proxies, of what is dropped by the kernel, and known when the
    fault is undone.
    """

    def __init__(
        self, lease: Lease, wires: ProxyLinks, nodes: Mapping[str, LiveNode], attempts: Counter[str]
    ) -> None:
        self._lease = lease
        self._wires = wires
        self._nodes = nodes
        self._attempts = attempts
        self._interfered: Counter[tuple[str, HttpRule]] = Counter()
        self._interferences = 0

    async def shape(self, path: PathMatch, shape: LinkShape) -> Applied:
        return await self._rule(path, shape)

    async def cut(self, path: PathMatch) -> Applied:
        return await self._rule(path, None)

    async def _rule(self, path: PathMatch, shape: LinkShape | None) -> Applied:
        undoing = "remove toxics" if self._wires.plane is None else "remove toxics, rules and queues"
        fault = self._lease.fault(f"{'cut' if shape is None else shape} on {path}", undoing)
        watch = await self._wires.watch(path)
        seen = Exposure()
        try:
            rule = await self._wires.add(path, shape)
        except BaseException:
            self._wires.unwatch()
            raise

        async def undo() -> None:
            nonlocal seen
            passed = await watch.end()
            seen = exposure(shape, await self._wires.remove(rule), passed)

        return InForce(self._lease, fault, undo, lambda: seen)

    async def reset(self, path: PathMatch) -> Applied:
        fault = self._lease.fault(f"reset of {path}", "nothing")
        exposure = await self._wires.reset(path)
        return InForce(self._lease, fault, _nothing, lambda: exposure)

    async def kill(self, node: str) -> Applied:
        return await self._stop(node, "kill")

    async def power_off(self, node: str) -> Applied:
        return await self._stop(node, "power_off")

    async def _stop(self, name: str, how: Stop) -> Applied:
        node = self._node(name)
        fault = self._lease.fault(f"{how} of {name}", f"start {name}")
        watch = await self._wires.watch(_around(name))
        before = self._attempts[name]
        hold = Hold()
        lost = watch.open
        blocked = 0
        seen = Exposure(connections=lost)
        await node.stop(hold, how)

        async def undo() -> None:
            nonlocal seen, blocked
            await self._settle()
            blocked = self._attempts[name] - before
            passed = await watch.end()
            seen = Exposure(connections=lost, connects_blocked=blocked, bytes=passed.bytes)
            await _started(name, node.unstop(hold))

        return InForce(self._lease, fault, undo, lambda: seen)

    async def start(self, node: str) -> None:
        await _started(node, self._node(node).start())

    async def pause(self, node: str) -> Applied:
        held = self._node(node)
        fault = self._lease.fault(f"pause of {node}", f"continue {node}")
        watch = await self._wires.watch(_around(node))
        hold = Hold()
        held.pause(hold)
        seen = Exposure()

        async def resume() -> None:
            nonlocal seen
            seen = await watch.end()
            held.unpause(hold)

        return InForce(self._lease, fault, resume, lambda: seen)

    async def interfere(self, node: str, rule: HttpRule) -> Applied:
        target = self._node(node)
        fault = self._lease.fault(f"interference at {node}: {rule}", f"relent at {node}")
        again = self._interfered[node, rule]
        self._interfered[node, rule] += 1
        self._interferences += 1
        number = self._interferences
        # The same stream as in virtual time.
        target.interfere(number, rule, ("interfere", node, repr(rule), again))
        await target.settle()

        async def relent() -> None:
            target.relent(number)
            await target.settle()

        return InForce(self._lease, fault, relent, lambda: Exposure(requests=target.taken(number)))

    async def cpu_limit(self, node: str, factor: float) -> Applied:
        target = self._node(node)
        group, hold = target.group, Hold()
        fault = self._lease.fault(f"slow of {node} to 1/{factor:g} of a core", "remove the control group")
        try:
            # Written down before it is made, like everything.
            self._lease.cgroup(group.directory)
            before_us = group.throttled_us()
            target.cpu_limit(hold, factor)
        except (OSError, NoQuota, ValueError) as error:
            with contextlib.suppress(OSError):
                target.unslow(hold)
            raise FaultFailed(f"{node} cannot be slowed: {error}") from error

        seen_us: int | None = None

        async def undo() -> None:
            nonlocal seen_us
            seen_us = group.throttled_us() - before_us
            try:
                target.unslow(hold)
            except OSError as error:
                raise FaultFailed(f"{node} stays slow: {error}") from error

        def waited() -> Exposure:
            waited_us = group.throttled_us() - before_us if seen_us is None else seen_us
            return Exposure(throttled_ms=waited_us // 1000)

        return InForce(self._lease, fault, undo, waited)

    async def _settle(self) -> None:
        """All nodes tell how often they tried to connect."""
        for node in self._nodes.values():
            await node.settle()

    def _node(self, name: str) -> LiveNode:
        node = self._nodes.get(name)
        if node is None:
            raise FaultFailed(f"there is no node '{name}'; there are {', '.join(self._nodes)}")
        return node


def _around(node: str) -> PathMatch:
    """What flows to a node."""
    return PathMatch(EndpointMatch(everything=True), EndpointMatch(frozenset({node})))


async def _nothing() -> None:
    pass


async def _started(name: str, start: Awaitable[None]) -> None:
    try:
        await start
    except NotReady as error:
        raise FaultFailed(f"{name} did not start again: {error}") from error
