from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from harness.faults.base import LinkFault, LossRatio
from harness.faults.primitives import Applied, Capability, LinkShape, Primitives, ResolvedTarget, apply_all


class Loss(LinkFault):
    """Packets get lost at `rate`; TCP sends them again, so what is seen is waiting and less throughput."""

    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.SHAPE, Capability.SHAPE_LOSS})

    fault: Literal["loss"] = "loss"
    rate: LossRatio = Field(description="share of the packets lost, more than 0% and less than 100%")

    async def apply(self, target: ResolvedTarget, primitives: Primitives) -> Applied:
        shape = LinkShape(loss=self.rate)
        return await apply_all(primitives.shape(path, shape) for path in self.paths(target))
