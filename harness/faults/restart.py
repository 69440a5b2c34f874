from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from harness.experiment.units import PositiveDuration
from harness.faults.base import NodeFault
from harness.faults.primitives import Applied, Capability, Primitives, ResolvedTarget, apply_all


class Restart(NodeFault):
    """The process is killed and started again `downtime` later. It takes no `for`: downtime says it."""

    instant: ClassVar[bool] = True
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.KILL, Capability.START})

    fault: Literal["restart"] = "restart"
    downtime: PositiveDuration = Field(description="from the kill to the start")

    @property
    def lasts_s(self) -> float:
        return self.downtime

    async def apply(self, target: ResolvedTarget, primitives: Primitives) -> Applied:
        return await apply_all(primitives.kill(node) for node in target.nodes)
