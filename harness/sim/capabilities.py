"""What virtual time can do."""

from __future__ import annotations

from harness.faults.capability import Capability
from harness.runtime.capabilities import Capabilities, Lack

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
    },
    lacks={
        Capability.CPU_LIMIT: Lack("virtual time has no processor cost", "run it with --runtime live"),
    },
)
