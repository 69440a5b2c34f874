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
from harness.live.cpu import QuotaUnavailable
from harness.live.kernel.controller import exposure
from harness.live.nodes import LiveNode
from harness.live.proxy_links import ProxyLinks
from harness.live.resources import ControlGroups, Fault
from harness.live.workspace import Workspace
from harness.runtime.holds import Hold, Stop
from harness.runtime.primitives import AppliedPrimitive, node_named, nothing_to_undo, restart


class LivePrimitives:
    """Every primitive; loss and shared limits only with the kernel network (proxies cannot: `FaultFailed`).

    Exposure of what lies on traffic is counted by the proxies, of what is dropped by the kernel, and known when the
    fault is undone.
    """

    def __init__(
        self, workspace: Workspace, wires: ProxyLinks, nodes: Mapping[str, LiveNode], attempts: Counter[str]
    ) -> None:
        self._workspace = workspace
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
        fault = self._note(f"{'cut' if shape is None else shape} on {path}", undoing)
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

        return self._applied(fault, undo, lambda: seen)

    async def reset(self, path: PathMatch) -> Applied:
        fault = self._note(f"reset of {path}", "nothing")
        exposure = await self._wires.reset(path)
        return self._applied(fault, nothing_to_undo, lambda: exposure)

    async def kill(self, node: str) -> Applied:
        return await self._stop(node, "kill")

    async def power_off(self, node: str) -> Applied:
        return await self._stop(node, "power_off")

    async def _stop(self, name: str, how: Stop) -> Applied:
        node = node_named(name, self._nodes)
        fault = self._note(f"{how} of {name}", f"start {name}")
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
            await restart(name, node.unstop(hold))

        return self._applied(fault, undo, lambda: seen)

    async def start(self, node: str) -> None:
        await restart(node, node_named(node, self._nodes).start())

    async def pause(self, node: str) -> Applied:
        held = node_named(node, self._nodes)
        fault = self._note(f"pause of {node}", f"continue {node}")
        watch = await self._wires.watch(_around(node))
        hold = Hold()
        held.pause(hold)
        seen = Exposure()

        async def resume() -> None:
            nonlocal seen
            seen = await watch.end()
            held.unpause(hold)

        return self._applied(fault, resume, lambda: seen)

    async def interfere(self, node: str, rule: HttpRule) -> Applied:
        target = node_named(node, self._nodes)
        fault = self._note(f"interference at {node}: {rule}", f"relent at {node}")
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

        return self._applied(fault, relent, lambda: Exposure(requests=target.taken(number)))

    async def cpu_limit(self, node: str, factor: float) -> Applied:
        target = node_named(node, self._nodes)
        group, hold = target.group, Hold()
        fault = self._note(f"slow of {node} to 1/{factor:g} of a core", "remove the control group")
        try:
            # Written down before it is made, like everything.
            self._workspace.ledger.add(ControlGroups(run=self._workspace.run, directory=group.directory))
            before_us = group.throttled_us()
            target.cpu_limit(hold, factor)
        except (OSError, QuotaUnavailable, ValueError) as error:
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

        return self._applied(fault, undo, waited)

    def _note(self, fault: str, undone_by: str) -> int:
        """Write a fault down before it is applied. Returns its number in the ledger."""
        return self._workspace.ledger.add(Fault(name=fault, undone_by=undone_by))

    async def _settle(self) -> None:
        """All nodes tell how often they tried to connect."""
        for node in self._nodes.values():
            await node.settle()

    def _applied(
        self, fault: int, undo: Callable[[], Awaitable[None]], exposure: Callable[[], Exposure]
    ) -> Applied:
        """The ledger forgets the fault once it is undone."""

        async def undo_and_note() -> None:
            await undo()
            self._workspace.ledger.remove(fault)

        return AppliedPrimitive(undo_and_note, exposure)


def _around(node: str) -> PathMatch:
    """What flows to a node."""
    return PathMatch(EndpointMatch(everything=True), EndpointMatch(frozenset({node})))
