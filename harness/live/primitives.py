"""The primitives of `harness.faults.primitives` on real processes, through proxies, signals and the kernel."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from harness.faults.exposure import Exposure
from harness.faults.primitives import (
    Applied,
    Capability,
    ClockRule,
    DiskRule,
    EndpointMatch,
    FaultFailed,
    HostRule,
    HttpRule,
    LinkShape,
    NameRule,
    PathMatch,
)
from harness.live import cpu
from harness.live.cpu import FactorOutOfRange, QuotaUnavailable
from harness.live.link_faults import LinkFaults
from harness.live.link_toxics import NO_LOSS, NO_SHARED_RATE
from harness.live.link_traffic import LinkTraffic, link_fault_exposure
from harness.live.nodes import LiveNode
from harness.live.resources import ControlGroups, Fault
from harness.live.workspace import Workspace
from harness.runtime.options import Capabilities, Lack
from harness.runtime.primitives import AppliedPrimitive, Hold, Stop, node_named, nothing_to_undo, restart

PROXIES: Mapping[Capability, str] = {
    Capability.SHAPE: "proxy toxics: latency, jitter, bandwidth by pair of hosts",
    Capability.SHARED_RATE: "proxy toxics that share one limit",
    Capability.CUT: "proxies hold everything back; connects get no answer",
    Capability.RESET: "proxies send RST to both ends",
    Capability.KILL: "SIGKILL; proxies refuse connects",
    Capability.POWER_OFF: "SIGKILL behind proxies that hold everything back; connects get no answer",
    Capability.START: "a new process, forked from one that has everything imported",
    Capability.PAUSE: "SIGSTOP",
    Capability.HTTP: "a middleware in the node's own process",
    Capability.CPU_LIMIT: "a control group with a quota of processor time",
    Capability.SKEW: "host.clock.wall and time.time in the node's own process",
    Capability.DISK: "host.disk in the node's own process",
    Capability.RESOLVE: "the names that host.http looks up in the node's own process",
    Capability.DEPLOY: "SIGKILL, and a new process with another config",
}
"""How each is provided with proxies."""

KERNEL: Mapping[Capability, str] = {
    **PROXIES,
    Capability.SHAPE: "latency and jitter by proxy toxics; bandwidth by pair of hosts by htb",
    Capability.SHAPE_LOSS: "nft drops packets",
    Capability.SHARED_RATE: "one htb class for all matching traffic",
    Capability.CUT: "nft drops: connects hang, what is open retransmits",
    Capability.POWER_OFF: "SIGKILL behind nft drops on all links: connects hang; stale connections get RST afterwards",
}
"""How each is provided with the kernel network."""


def capabilities(*, kernel: bool, external: bool) -> Capabilities:
    """`kernel`: with the kernel network. `external`: the proxies are on a Toxiproxy server that is not ours."""
    lacks: dict[Capability, Lack] = {}
    if not kernel:
        lacks[Capability.SHAPE_LOSS] = NO_LOSS
    if external and not kernel:
        lacks[Capability.SHARED_RATE] = NO_SHARED_RATE
    if (reason := cpu.unavailable_reason()) is not None:
        lacks[Capability.CPU_LIMIT] = Lack(reason, "see: harness doctor")
    provided = KERNEL if kernel else PROXIES
    return Capabilities({one: how for one, how in provided.items() if one not in lacks}, lacks)


class LivePrimitives:
    """Every primitive. FaultFailed for what the network cannot do (losses, with proxies only).

    The proxies count the exposure of faults on traffic, the kernel that of what it drops. It is known when the fault
    is undone. `attempts`: connection attempts by node.
    """

    def __init__(
        self,
        workspace: Workspace,
        faults: LinkFaults,
        traffic: LinkTraffic,
        nodes: Mapping[str, LiveNode],
        attempts: Counter[str],
    ) -> None:
        self._workspace = workspace
        self._faults = faults
        self._traffic = traffic
        self._nodes = nodes
        self._attempts = attempts
        self._interfered: Counter[tuple[str, HostRule]] = Counter()
        self._interferences = 0

    async def flush(self) -> None:
        """Return when all reports of the nodes until now have arrived."""
        for node in self._nodes.values():
            await node.flush()

    async def shape(self, path: PathMatch, shape: LinkShape) -> Applied:
        return await self._put_on_links(path, shape)

    async def cut(self, path: PathMatch) -> Applied:
        return await self._put_on_links(path, None)

    async def _put_on_links(self, path: PathMatch, shape: LinkShape | None) -> Applied:
        number = self._note(f"{'cut' if shape is None else shape} on {path}", "remove toxics and rules")
        watch = await self._traffic.watch(path)
        exposure = Exposure()
        try:
            fault = await self._faults.add(path, shape)
        except BaseException:
            watch.cancel()
            raise

        async def undo() -> None:
            nonlocal exposure
            passed = await watch.end()
            exposure = link_fault_exposure(shape, await self._faults.remove(fault), passed)

        return self._applied(number, undo, lambda: exposure)

    async def reset(self, path: PathMatch) -> Applied:
        number = self._note(f"reset of {path}", "nothing")
        exposure = await self._faults.reset(path)
        return self._applied(number, nothing_to_undo, lambda: exposure)

    async def kill(self, node: str) -> Applied:
        return await self._stop(node, "kill")

    async def power_off(self, node: str) -> Applied:
        return await self._stop(node, "power_off")

    async def _stop(self, name: str, how: Stop) -> Applied:
        return await self._down(name, how, lambda node, hold: node.stop(hold, how))

    async def deploy(self, node: str, config: Mapping[str, Any]) -> Applied:
        return await self._down(node, "deploy", lambda node, hold: node.deploy(hold, config))

    async def _down(self, name: str, how: str, stop: Callable[[LiveNode, Hold], Awaitable[None]]) -> Applied:
        node = node_named(name, self._nodes)
        number = self._note(f"{how} of {name}", f"start {name}")
        watch = await self._traffic.watch(_to_node(name))
        attempts_before, open_before = self._attempts[name], watch.open
        exposure = Exposure(connections=open_before)
        hold, hidden = Hold(), node.down
        await stop(node, hold)

        async def undo() -> None:
            nonlocal exposure
            await self.flush()
            blocked = self._attempts[name] - attempts_before
            passed = await watch.end()
            if not hidden:
                exposure = Exposure(
                    connections=open_before, connects_blocked=blocked, bytes=passed.counted.bytes
                )
            await restart(name, node.unstop(hold))

        return self._applied(number, undo, lambda: exposure)

    async def start(self, node: str) -> None:
        await restart(node, node_named(node, self._nodes).start())

    async def pause(self, node: str) -> Applied:
        target, hold = node_named(node, self._nodes), Hold()
        number = self._note(f"pause of {node}", f"continue {node}")
        watch = await self._traffic.watch(_to_node(node))
        exposure, hidden = Exposure(), target.down
        target.pause(hold)

        async def resume() -> None:
            nonlocal exposure
            passed = await watch.end()
            exposure = Exposure() if hidden else passed
            target.unpause(hold)

        return self._applied(number, resume, lambda: exposure)

    async def interfere(self, node: str, rule: HttpRule) -> Applied:
        return await self._interfere(node, rule)

    async def skew(self, node: str, rule: ClockRule) -> Applied:
        return await self._interfere(node, rule)

    async def disk(self, node: str, rule: DiskRule) -> Applied:
        return await self._interfere(node, rule)

    async def resolve(self, node: str, rule: NameRule) -> Applied:
        return await self._interfere(node, rule)

    async def _interfere(self, node: str, rule: HostRule) -> Applied:
        target = node_named(node, self._nodes)
        fault = self._note(f"interference at {node}: {rule}", f"stop interfering at {node}")
        again = self._interfered[node, rule]
        self._interfered[node, rule] += 1
        self._interferences += 1
        number = self._interferences
        # The same random stream as in virtual time.
        target.interfere(number, rule, ("interfere", node, repr(rule), again))
        await target.flush()

        async def stop() -> None:
            target.stop_interfering(number)
            await target.flush()

        return self._applied(fault, stop, lambda: Exposure(requests=target.interfered(number)))

    async def cpu_limit(self, node: str, factor: float) -> Applied:
        target, hold = node_named(node, self._nodes), Hold()
        group = target.group
        number = self._note(f"cpu-limit of {node} to 1/{factor:g} of a core", "remove the control group")
        try:
            # Written down before it is made, like every resource.
            self._workspace.ledger.add(ControlGroups(run=self._workspace.run, directory=group.directory))
            before_us, before_ms = group.throttled_us(), target.lost_work_ms
            target.limit_cpu(hold, factor)
        except (OSError, QuotaUnavailable, FactorOutOfRange) as error:
            with contextlib.suppress(OSError):
                target.unlimit_cpu(hold)
            raise FaultFailed(f"cannot limit the processor time of {node}: {error}") from error
        throttled_ms: int | None = None

        def so_far_ms() -> int:
            """Of real processor time, and of work that the service only says that it does."""
            return (group.throttled_us() - before_us) // 1000 + target.lost_work_ms - before_ms

        async def undo() -> None:
            nonlocal throttled_ms
            await target.flush()
            throttled_ms = so_far_ms()
            try:
                target.unlimit_cpu(hold)
            except OSError as error:
                raise FaultFailed(f"cannot end the limit of {node}: {error}") from error

        def exposure() -> Exposure:
            return Exposure(throttled_ms=so_far_ms() if throttled_ms is None else throttled_ms)

        return self._applied(number, undo, exposure)

    def _note(self, fault: str, undone_by: str) -> int:
        """Write a fault down before it is applied. Returns its number in the ledger."""
        return self._workspace.ledger.add(Fault(name=fault, undone_by=undone_by))

    def _applied(
        self, number: int, undo: Callable[[], Awaitable[None]], exposure: Callable[[], Exposure]
    ) -> Applied:
        """The ledger forgets the fault once it is undone."""

        async def undo_and_forget() -> None:
            await undo()
            self._workspace.ledger.remove(number)

        return AppliedPrimitive(undo_and_forget, exposure)


def _to_node(node: str) -> PathMatch:
    """The traffic to a node."""
    return PathMatch(EndpointMatch(everything=True), EndpointMatch(frozenset({node})))
