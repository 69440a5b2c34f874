from __future__ import annotations

from typing import ClassVar, Literal

from harness.faults.base import NodeFault
from harness.faults.primitives import Applied, Capability, Primitives, ResolvedTarget, apply_all


class PowerOff(NodeFault):
    """The machine loses power: silence, not even a reset. At the end it is started again."""

    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.POWER_OFF, Capability.START})

    fault: Literal["power-off"] = "power-off"

    async def apply(self, target: ResolvedTarget, primitives: Primitives) -> Applied:
        return await apply_all(primitives.power_off(node) for node in target.nodes)
