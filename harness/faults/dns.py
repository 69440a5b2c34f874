from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from harness.diagnostics import Code
from harness.errors import InvalidValue
from harness.experiment.units import Duration
from harness.faults.base import NodeFault, Share
from harness.faults.primitives import Applied, Capability, NameRule, Primitives, ResolvedTarget, apply_all


class Dns(NodeFault):
    """Names that the nodes look up get no answer, none in time, or a wrong one. Open connections go on.

    `error`: the look-up fails for now (`socket.gaierror`, EAI_AGAIN). `empty`: there is no such name (EAI_NONAME).
    `wrong`: the addresses of another name, `to`. Exposure is the number of look-ups concerned.
    """

    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.RESOLVE})

    fault: Literal["dns"] = "dns"
    host: str = Field(default="*", description="which names: `catalog`, or a pattern such as `edge-*`")
    answer: Literal["error", "empty", "wrong"] | None = Field(
        default=None, description="what the look-up says; the right answer if not given"
    )
    to: str | None = Field(default=None, description="the role or node that `answer: wrong` names")
    delay: Duration = Field(default=0.0, description="added to each look-up")
    probability: Share = Field(default=1.0, description="share of the look-ups")

    @model_validator(mode="after")
    def _check_something(self) -> Self:
        if not self.delay and self.answer is None:
            raise InvalidValue(Code.MISSING_KEY, "neither delay nor answer", "give one of them, or both")
        if (self.answer == "wrong") != (self.to is not None):
            raise InvalidValue(
                Code.MISSING_KEY, f"answer {self.answer}, to {self.to}", "'to' goes with answer: wrong"
            )
        return self

    async def apply(self, target: ResolvedTarget, primitives: Primitives) -> Applied:
        rule = NameRule(self.host, self.answer, self.to, self.delay, self.probability)
        return await apply_all(primitives.resolve(node, rule) for node in target.nodes)
