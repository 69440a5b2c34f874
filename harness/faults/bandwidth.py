from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from harness.diagnostics import Code
from harness.errors import InvalidValue
from harness.experiment.units import Bitrate
from harness.faults.base import LinkFault
from harness.faults.primitives import Applied, Capability, LinkShape, Primitives, ResolvedTarget, apply_all


def _check_rate(value: float) -> float:
    if value <= 0:
        hint = "to let nothing pass, write fault: partition"
        raise InvalidValue(Code.OUT_OF_RANGE, f"found {value:g}bps", "must be > 0bps", hint)
    return value


class Bandwidth(LinkFault):
    """Traffic is limited to `rate`, each way: for every pair of hosts, or `shared` by all that matches."""

    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.SHAPE})

    fault: Literal["bandwidth"] = "bandwidth"
    rate: Annotated[Bitrate, AfterValidator(_check_rate)] = Field(description="most that passes, one way")
    shared: bool = Field(default=False, description="one limit for all matching traffic together")

    def needed(self) -> frozenset[Capability]:
        return self.needs | {Capability.SHARED_RATE} if self.shared else self.needs

    async def apply(self, target: ResolvedTarget, primitives: Primitives) -> Applied:
        shape = LinkShape(bandwidth_bps=self.rate, shared=self.shared)
        return await apply_all(primitives.shape(path, shape) for path in self.paths(target))
