from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from harness.experiment.units import PositiveDuration
from harness.faults.base import NodeFault
from harness.faults.primitives import Applied, Capability, Primitives, ResolvedTarget, apply_all


class Deploy(NodeFault):
    """Another version is deployed: each node is killed, and started again `downtime` later with other `config`.

    The keys replace those of `Node.config`; the others stay. It stays so until another deploy. It takes no `for`.
    """

    instant: ClassVar[bool] = True
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.DEPLOY})

    fault: Literal["deploy"] = "deploy"
    config: dict[str, Any] = Field(description="what changes in `Node.config`", min_length=1)
    downtime: PositiveDuration = Field(description="from the kill to the start")

    @property
    def lasts_s(self) -> float:
        return self.downtime

    async def apply(self, target: ResolvedTarget, primitives: Primitives) -> Applied:
        return await apply_all(primitives.deploy(node, self.config) for node in target.nodes)
