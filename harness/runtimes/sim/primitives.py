"""The fault primitives in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random

from harness.faults.primitives import (
    Applied,
    Exposure,
    FaultFailed,
    HttpRule,
    LinkShape,
    PathMatch,
    Primitive,
)
from harness.runtimes.sim.interference import Interference
from harness.runtimes.sim.machine import Machine, Observation
from harness.runtimes.sim.network import SimNetwork
from harness.runtimes.sim.path import Rule


class _RuleApplied:
    def __init__(self, rule: Rule) -> None:
        self._rule = rule

    async def undo(self) -> None:
        self._rule.remove()

    def exposure(self) -> Exposure:
        return self._rule.exposure()


class _Done:
    """What happened in an instant: nothing to undo."""

    def __init__(self, exposure: Exposure) -> None:
        self._exposure = exposure

    async def undo(self) -> None:
        pass

    def exposure(self) -> Exposure:
        return self._exposure


class _StateApplied:
    """A changed state of a machine. Counts until it is undone."""

    def __init__(self, observation: Observation, back: Callable[[], Awaitable[None]]) -> None:
        self._observation = observation
        self._back: Callable[[], Awaitable[None]] | None = back

    async def undo(self) -> None:
        back, self._back = self._back, None
        if back is not None:
            try:
                await back()
            finally:
                self._observation.stop()

    def exposure(self) -> Exposure:
        return self._observation.exposure()


class SimPrimitives:
    """All primitives there are; see `harness.faults.primitives.Primitives`.

    `start` brings a node's process up and waits until it is ready; it is the runtime's.
    """

    available = frozenset(Primitive)

    def __init__(
        self,
        network: SimNetwork,
        machines: dict[str, Machine],
        interference: dict[str, Interference],
        start: Callable[[str], Awaitable[None]],
        seed: int,
    ) -> None:
        self._network = network
        self._machines = machines
        self._interference = interference
        self._start = start
        self._seed = seed
        self._rules_made = 0

    async def shape(self, path: PathMatch, shape: LinkShape) -> Applied:
        return _RuleApplied(self._network.rule(path, shape=shape))

    async def cut(self, path: PathMatch) -> Applied:
        return _RuleApplied(self._network.rule(path, cut=True))

    async def reset(self, path: PathMatch) -> Applied:
        return _Done(self._network.reset(path))

    async def kill(self, node: str) -> Applied:
        machine = self._running(node, "kill")
        observation = machine.observe()
        machine.kill()
        return self._until_started(node, machine, observation)

    async def power_off(self, node: str) -> Applied:
        machine = self._running(node, "power off")
        observation = machine.observe()
        machine.power_off()
        return self._until_started(node, machine, observation)

    def _until_started(self, node: str, machine: Machine, observation: Observation) -> Applied:
        async def back() -> None:
            if not machine.alive:
                await self._start(node)

        return _StateApplied(observation, back)

    async def start(self, node: str) -> None:
        if self._machine(node).alive:
            raise FaultFailed(f"cannot start {node}: it is running")
        await self._start(node)

    async def pause(self, node: str) -> Applied:
        machine = self._running(node, "pause")
        observation = machine.observe()
        machine.pause()

        async def back() -> None:
            machine.resume()

        return _StateApplied(observation, back)

    async def interfere(self, node: str, rule: HttpRule) -> Applied:
        self._machine(node)
        self._rules_made += 1
        rng = Random(f"{self._seed}/interference/{node}/{self._rules_made}")
        return self._interference[node].add(rule, rng)

    def _machine(self, node: str) -> Machine:
        machine = self._machines.get(node)
        if machine is None:
            raise FaultFailed(f"no node '{node}'; there are {', '.join(sorted(self._machines))}")
        return machine

    def _running(self, node: str, what: str) -> Machine:
        machine = self._machine(node)
        if machine.state != "up" or not machine.alive:
            raise FaultFailed(f"cannot {what} {node}: it is {machine.state} already (do two faults overlap?)")
        return machine
