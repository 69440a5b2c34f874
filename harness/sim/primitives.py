"""The primitives of `harness.faults.primitives` in the simulated network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from harness.faults.primitives import (
    Applied,
    Exposure,
    FaultFailed,
    HttpRule,
    LinkShape,
    PathMatch,
)
from harness.runtime.contract import NotReady
from harness.runtime.interference import Interferer
from harness.sim.network.network import SimNetwork
from harness.sim.nodes import Hold, SimNode, Stop
from harness.system.streams import stream

NO_PROCESSOR = "virtual time has no processor cost that could grow: a step of a service takes no time at all"


class InForce:
    """An `Applied` made of two functions. The first `undo` undoes; any further one does nothing."""

    def __init__(self, undo: Callable[[], Awaitable[None]], exposure: Callable[[], Exposure]) -> None:
        self._undo: Callable[[], Awaitable[None]] | None = undo
        self._exposure = exposure

    async def undo(self) -> None:
        undo, self._undo = self._undo, None
        if undo is not None:
            await undo()

    def exposure(self) -> Exposure:
        return self._exposure()


class SimPrimitives:
    """Every primitive but slow. An unknown node, or one that does not come up again, is `FaultFailed`."""

    def __init__(self, network: SimNetwork, nodes: Mapping[str, SimNode], seed: int) -> None:
        self._network = network
        self._nodes = nodes
        self._seed = seed
        self._interfered: Counter[tuple[str, HttpRule]] = Counter()

    async def shape(self, path: PathMatch, shape: LinkShape) -> Applied:
        return self._rule(path, shape=shape)

    async def cut(self, path: PathMatch) -> Applied:
        return self._rule(path, cut=True)

    def _rule(self, path: PathMatch, *, shape: LinkShape | None = None, cut: bool = False) -> Applied:
        rule = self._network.rule(path, shape=shape, cut=cut)

        async def remove() -> None:
            rule.remove()

        return InForce(remove, rule.exposure)

    async def reset(self, path: PathMatch) -> Applied:
        exposure = self._network.reset(path)
        return InForce(_nothing, lambda: exposure)

    async def kill(self, node: str) -> Applied:
        return await self._stop(node, "kill")

    async def power_off(self, node: str) -> Applied:
        return await self._stop(node, "power_off")

    async def _stop(self, name: str, how: Stop) -> Applied:
        node = self._node(name)
        observation, hold = node.machine.observe(), Hold()
        await node.stop(hold, how)

        async def start() -> None:
            try:
                await _started(name, node.unstop(hold))
            finally:
                observation.stop()

        return InForce(start, observation.exposure)

    async def start(self, node: str) -> None:
        await _started(node, self._node(node).start())

    async def pause(self, node: str) -> Applied:
        held = self._node(node)
        observation, hold = held.machine.observe(), Hold()
        held.pause(hold)

        async def resume() -> None:
            held.unpause(hold)
            observation.stop()

        return InForce(resume, observation.exposure)

    async def interfere(self, node: str, rule: HttpRule) -> Applied:
        interference = self._node(node).interference
        number = self._interfered[node, rule]
        self._interfered[node, rule] += 1
        rng = stream(self._seed, "interfere", node, repr(rule), number)
        interferer = Interferer(rule, rng)
        interference.add(interferer)

        async def remove() -> None:
            interference.remove(interferer)

        return InForce(remove, interferer.exposure)

    async def cpu_limit(self, node: str, factor: float) -> Applied:
        raise FaultFailed(NO_PROCESSOR)

    def _node(self, name: str) -> SimNode:
        node = self._nodes.get(name)
        if node is None:
            raise FaultFailed(f"there is no node '{name}'; there are {', '.join(self._nodes)}")
        return node


async def _nothing() -> None:
    pass


async def _started(name: str, start: Awaitable[None]) -> None:
    try:
        await start
    except NotReady as error:
        raise FaultFailed(f"{name} did not start again: {error}") from error
