"""`SimOptions`: virtual time has none to choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.faults.primitives import Capability
from harness.runtime.options import Capabilities, Option

CAPABILITIES = Capabilities(
    available={
        Capability.SHAPE: "the simulated network: latency, jitter, bandwidth by pair of hosts",
        Capability.SHAPE_LOSS: "the simulated network: lost packets are sent again, as TCP does",
        Capability.SHARED_RATE: "the simulated network: one limit for all matching traffic",
        Capability.CUT: "the simulated network holds everything back; connects get no answer",
        Capability.RESET: "the simulated network sends RST to both ends",
        Capability.KILL: "the tasks of the node end; its connections break, connects are refused",
        Capability.POWER_OFF: "the tasks of the node end; nothing answers for it",
        Capability.START: "the service of the node is started again",
        Capability.PAUSE: "the tasks of the node stand still",
        Capability.HTTP: "a middleware in front of the node's own handlers",
        Capability.CPU_LIMIT: "what a node works (Host.work, Node.costs) gets a part of one core",
        Capability.SKEW: "host.clock.wall, time and datetime of the node",
        Capability.DISK: "host.disk of the node",
        Capability.RESOLVE: "all look-ups of the node",
        Capability.DEPLOY: "the service of the node is started again with another config",
    },
    lacks={},
    programs=False,
)


@dataclass(frozen=True, slots=True)
class SimOptions:
    """Virtual time (`harness.runtime.options.RuntimeOptions`)."""

    name: ClassVar[str] = "sim"
    summary: ClassVar[str] = "in virtual time"
    deterministic: ClassVar[bool] = True
    concurrent: ClassVar[bool] = True
    runtime: ClassVar[str] = "harness.sim.runtime:SimRuntime"
    options: ClassVar[tuple[Option, ...]] = ()

    @classmethod
    def from_arguments(cls, given: Mapping[str, Any]) -> SimOptions:
        return cls()

    def arguments(self) -> tuple[str, ...]:
        return ()

    def problems(self, jobs: int = 1) -> tuple[str, ...]:
        return ()

    def capabilities(self) -> Capabilities:
        return CAPABILITIES
