from __future__ import annotations

from typing import ClassVar, Literal

from harness.faults.base import NodeFault
from harness.faults.primitives import Applied, Capability, Primitives, ResolvedTarget, apply_all


class Pause(NodeFault):
    """The process stops dead (SIGSTOP) while its kernel still accepts and buffers: alive, yet silent.

    At the end it goes on where it was (SIGCONT). Long garbage collections and frozen VMs look like this.
    """

    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.PAUSE})

    fault: Literal["pause"] = "pause"

    async def apply(self, target: ResolvedTarget, primitives: Primitives) -> Applied:
        return await apply_all(primitives.pause(node) for node in target.nodes)
