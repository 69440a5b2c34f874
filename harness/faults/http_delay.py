from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from harness.experiment.units import PositiveDuration
from harness.faults.base import Method, NodeFault, Route, Share
from harness.faults.primitives import Applied, Capability, HttpRule, Primitives, ResolvedTarget, apply_all


class HttpDelay(NodeFault):
    """The nodes take `delay` longer to answer: requests wait before their own code sees them."""

    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.HTTP})

    fault: Literal["http-delay"] = "http-delay"
    route: Route = Field(default="*", description="which paths: `/home`, or a pattern such as `/v/*`")
    method: Method | None = Field(default=None, description="which method; any if not given")
    delay: PositiveDuration = Field(description="added to each matching request")
    probability: Share = Field(default=1.0, description="share of the matching requests")

    async def apply(self, target: ResolvedTarget, primitives: Primitives) -> Applied:
        rule = HttpRule(
            route=self.route, method=self.method, delay_s=self.delay, probability=self.probability
        )
        return await apply_all(primitives.interfere(node, rule) for node in target.nodes)
