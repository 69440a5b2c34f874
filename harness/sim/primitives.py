"""The primitives of `harness.faults.primitives` in the simulated network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from harness.faults.primitives import (
    Applied,
    ClockRule,
    DiskRule,
    HostRule,
    HttpRule,
    LinkShape,
    NameRule,
    PathMatch,
)
from harness.runtime.interference import Interferer
from harness.runtime.primitives import AppliedPrimitive, Hold, Stop, node_named, nothing_to_undo, restart
from harness.sim.network.network import SimNetwork
from harness.sim.nodes import SimNode
from harness.system.streams import stream


class SimPrimitives:
    """FaultFailed for an unknown node, and for one that does not start again."""

    def __init__(
        self, network: SimNetwork, nodes: Mapping[str, SimNode], seed: int, now: Callable[[], float]
    ) -> None:
        self._network = network
        self._nodes = nodes
        self._seed = seed
        self._now = now
        self._interfered: Counter[tuple[str, HostRule]] = Counter()

    async def shape(self, path: PathMatch, shape: LinkShape) -> Applied:
        return self._impair(path, shape=shape)

    async def cut(self, path: PathMatch) -> Applied:
        return self._impair(path, cut=True)

    def _impair(self, path: PathMatch, *, shape: LinkShape | None = None, cut: bool = False) -> Applied:
        impairment = self._network.impair(path, shape=shape, cut=cut)

        async def remove() -> None:
            impairment.remove()

        return AppliedPrimitive(remove, impairment.exposure)

    async def reset(self, path: PathMatch) -> Applied:
        exposure = self._network.reset(path)
        return AppliedPrimitive(nothing_to_undo, lambda: exposure)

    async def kill(self, node: str) -> Applied:
        return await self._stop(node, "kill")

    async def power_off(self, node: str) -> Applied:
        return await self._stop(node, "power_off")

    async def _stop(self, name: str, how: Stop) -> Applied:
        return await self._down(name, lambda node, hold: node.stop(hold, how))

    async def deploy(self, node: str, config: Mapping[str, Any]) -> Applied:
        return await self._down(node, lambda node, hold: node.deploy(hold, config))

    async def _down(self, name: str, stop: Callable[[SimNode, Hold], Awaitable[None]]) -> Applied:
        node = node_named(name, self._nodes)
        observation, hold = node.machine.observe("stop"), Hold()
        await stop(node, hold)

        async def start() -> None:
            try:
                await restart(name, node.unstop(hold))
            finally:
                observation.stop()

        return AppliedPrimitive(start, observation.exposure)

    async def start(self, node: str) -> None:
        await restart(node, node_named(node, self._nodes).start())

    async def pause(self, node: str) -> Applied:
        held = node_named(node, self._nodes)
        observation, hold = held.machine.observe("pause"), Hold()
        held.pause(hold)

        async def resume() -> None:
            held.unpause(hold)
            observation.stop()

        return AppliedPrimitive(resume, observation.exposure)

    async def interfere(self, node: str, rule: HttpRule) -> Applied:
        return self._interfere(node, rule)

    async def skew(self, node: str, rule: ClockRule) -> Applied:
        return self._interfere(node, rule)

    async def disk(self, node: str, rule: DiskRule) -> Applied:
        return self._interfere(node, rule)

    async def resolve(self, node: str, rule: NameRule) -> Applied:
        return self._interfere(node, rule)

    def _interfere(self, node: str, rule: HostRule) -> Applied:
        interference = node_named(node, self._nodes).interference
        number = self._interfered[node, rule]
        self._interfered[node, rule] += 1
        rng = stream(self._seed, "interfere", node, repr(rule), number)
        interferer = Interferer(rule, rng, self._now())
        interference.add(interferer)

        async def remove() -> None:
            interference.remove(interferer)

        return AppliedPrimitive(remove, interferer.exposure)

    async def cpu_limit(self, node: str, factor: float) -> Applied:
        processor = node_named(node, self._nodes).processor
        limit = processor.limit(1 / factor)

        async def remove() -> None:
            processor.unlimit(limit)

        return AppliedPrimitive(remove, limit.exposure)
