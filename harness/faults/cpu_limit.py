from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from harness.experiment.units import Ratio
from harness.faults.applied import apply_all
from harness.faults.base import NodeFault
from harness.faults.capability import Capability
from harness.faults.primitives import Applied, Primitives
from harness.faults.target import ResolvedTarget

CPU_LEAST = 0.01


def _part_of_a_core(value: float) -> float:
    if not CPU_LEAST <= value < 1:
        raise ValueError(f"must be from {CPU_LEAST:.0%} to less than 100% of one core")
    return value


class CpuLimit(NodeFault):
    """The node gets only so much of one processor core, as beside a noisy neighbour or after throttling.

    Live only: virtual time has no processor cost that could grow.
    """

    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.CPU_LIMIT})

    fault: Literal["cpu-limit"] = "cpu-limit"
    cpu: Annotated[Ratio, AfterValidator(_part_of_a_core)] = Field(
        description="what each node gets, of one core"
    )

    async def apply(self, target: ResolvedTarget, primitives: Primitives) -> Applied:
        return await apply_all(primitives.cpu_limit(node, 1 / self.cpu) for node in target.nodes)
