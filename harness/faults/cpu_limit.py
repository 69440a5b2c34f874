from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from harness.diagnostics import Code
from harness.errors import InvalidValue
from harness.experiment.units import Ratio
from harness.faults.base import NodeFault
from harness.faults.primitives import Applied, Capability, Primitives, ResolvedTarget, apply_all

MIN_CPU = 0.01


def _check_cpu(value: float) -> float:
    if not MIN_CPU <= value < 1:
        raise InvalidValue(
            Code.OUT_OF_RANGE,
            f"found {value * 100:.6g}%",
            f"must be at least {MIN_CPU:.0%} and < 100% of one core",
        )
    return value


class CpuLimit(NodeFault):
    """The node gets only so much of one processor core, as beside a noisy neighbour or after throttling.

    Live by a quota of the kernel, which all code of the process feels. In both worlds it slows down what the node
    declares as work: `Host.work` and `Node.costs`. In virtual time nothing else takes processor time.
    """

    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.CPU_LIMIT})

    fault: Literal["cpu-limit"] = "cpu-limit"
    cpu: Annotated[Ratio, AfterValidator(_check_cpu)] = Field(description="what each node gets, of one core")

    async def apply(self, target: ResolvedTarget, primitives: Primitives) -> Applied:
        return await apply_all(primitives.cpu_limit(node, 1 / self.cpu) for node in target.nodes)
