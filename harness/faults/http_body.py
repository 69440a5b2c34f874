from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from harness.faults.base import Method, NodeFault, Route, Share
from harness.faults.primitives import (
    Applied,
    BodyFault,
    Capability,
    HttpRule,
    Primitives,
    ResolvedTarget,
    apply_all,
)


class HttpBody(NodeFault):
    """The nodes answer with the right status and a wrong body: short, corrupt, cut in the middle, or an error page."""

    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.HTTP})

    fault: Literal["http-body"] = "http-body"
    route: Route = Field(default="*", description="which paths: `/home`, or a pattern such as `/v/*`")
    method: Method | None = Field(default=None, description="which method; any if not given")
    body: BodyFault = Field(
        description="`short`: a complete response with half the body; `corrupt`: bytes changed; `cut`: the"
        " connection closes after half; `replaced`: status 200 with an HTML page"
    )
    probability: Share = Field(default=1.0, description="share of the matching requests")

    async def apply(self, target: ResolvedTarget, primitives: Primitives) -> Applied:
        rule = HttpRule(route=self.route, method=self.method, body=self.body, probability=self.probability)
        return await apply_all(primitives.interfere(node, rule) for node in target.nodes)
