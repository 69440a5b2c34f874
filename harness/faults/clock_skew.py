from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from harness.diagnostics import Code
from harness.errors import InvalidValue
from harness.experiment.units import parse_duration, parse_ratio
from harness.faults.base import NodeFault
from harness.faults.primitives import Applied, Capability, ClockRule, Primitives, ResolvedTarget, apply_all


def _signed(parse: Any) -> BeforeValidator:
    def parse_signed(value: Any) -> float:
        negative = isinstance(value, str) and value.startswith("-")
        return -parse(value[1:]) if negative else float(parse(value))

    return BeforeValidator(parse_signed)


type SignedDuration = Annotated[
    float, _signed(parse_duration), WithJsonSchema({"type": "string", "examples": ["5m", "-30s"]})
]
type SignedRatio = Annotated[
    float, _signed(parse_ratio), WithJsonSchema({"type": "string", "examples": ["1%", "-0.1%"]})
]


class ClockSkew(NodeFault):
    """The wall clock of each node jumps by `offset` and then gains `drift` of the time that passes.

    It is what `host.clock.wall` says, and `time.time`; in virtual time also `datetime.now` and `time.gmtime`. Run time,
    monotonic clocks and time-outs are not concerned. Exposure is how often the clock was read.
    """

    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.SKEW})

    fault: Literal["clock-skew"] = "clock-skew"
    offset: SignedDuration = Field(default=0.0, description="how far it jumps: `5m`, or back: `-30s`")
    drift: SignedRatio = Field(
        default=0.0, description="how much faster it then runs: `1%`, or slower: `-1%`"
    )

    @model_validator(mode="after")
    def _check_something(self) -> Self:
        if not self.offset and not self.drift:
            raise InvalidValue(Code.MISSING_KEY, "neither offset nor drift", "give one of them, or both")
        return self

    async def apply(self, target: ResolvedTarget, primitives: Primitives) -> Applied:
        rule = ClockRule(self.offset, self.drift)
        return await apply_all(primitives.skew(node, rule) for node in target.nodes)
