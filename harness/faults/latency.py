from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from harness.diagnostics import Code
from harness.errors import InvalidValue
from harness.experiment.units import Duration, PositiveDuration
from harness.faults.base import LinkFault
from harness.faults.primitives import Applied, Capability, LinkShape, Primitives, ResolvedTarget, apply_all


class Latency(LinkFault):
    """Traffic takes longer: `delay` more each way, and up to `jitter` more or less around that.

    With `direction: both`, the default, a round trip grows by twice the delay.
    """

    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.SHAPE})

    fault: Literal["latency"] = "latency"
    delay: PositiveDuration = Field(description="added to each one-way trip")
    jitter: Duration = Field(default=0.0, description="how far the delay varies, either way")

    @model_validator(mode="after")
    def _never_negative(self) -> Self:
        if self.jitter > self.delay:
            raise InvalidValue(
                Code.CONFLICT, "jitter is more than delay", "the delay would fall below 0s", path=("jitter",)
            )
        return self

    async def apply(self, target: ResolvedTarget, primitives: Primitives) -> Applied:
        shape = LinkShape(latency_s=self.delay, jitter_s=self.jitter)
        return await apply_all(primitives.shape(path, shape) for path in self.paths(target))
