from __future__ import annotations

from typing import ClassVar, Literal

from harness.faults.base import NodeFault
from harness.faults.primitives import Applied, Capability, Primitives, ResolvedTarget, apply_all


class Crash(NodeFault):
    """The process is killed (SIGKILL) and stays down: its connections break, connects are refused.

    At the end it is started again.
    """

    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.KILL, Capability.START})

    fault: Literal["crash"] = "crash"

    async def apply(self, target: ResolvedTarget, primitives: Primitives) -> Applied:
        return await apply_all(primitives.kill(node) for node in target.nodes)
