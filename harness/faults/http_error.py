from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from harness.diagnostics import Code
from harness.errors import InvalidValue
from harness.faults.base import Method, NodeFault, Route, Share
from harness.faults.primitives import Applied, Capability, HttpRule, Primitives, ResolvedTarget, apply_all


def _check_status(status: int) -> int:
    if not 400 <= status <= 599:
        raise InvalidValue(Code.OUT_OF_RANGE, f"found {status}", "status must be from 400 to 599")
    return status


class HttpError(NodeFault):
    """The nodes answer requests with an error `status`, without their own code seeing them."""

    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.HTTP})

    fault: Literal["http-error"] = "http-error"
    route: Route = Field(default="*", description="which paths: `/home`, or a pattern such as `/v/*`")
    method: Method | None = Field(default=None, description="which method; any if not given")
    status: Annotated[int, AfterValidator(_check_status)] = Field(
        default=503, description="the answer, 400 to 599"
    )
    probability: Share = Field(default=1.0, description="share of the matching requests")

    async def apply(self, target: ResolvedTarget, primitives: Primitives) -> Applied:
        rule = HttpRule(
            route=self.route, method=self.method, status=self.status, probability=self.probability
        )
        return await apply_all(primitives.interfere(node, rule) for node in target.nodes)
