from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from harness.diagnostics import Code
from harness.errors import InvalidValue
from harness.experiment.units import Duration
from harness.faults.base import NodeFault, Share
from harness.faults.primitives import Applied, Capability, DiskRule, Primitives, ResolvedTarget, apply_all


class Disk(NodeFault):
    """The disk of each node (`host.disk`) is slow, full, cannot be read, or tears writes.

    `full`: writes raise OSError (ENOSPC). `read`: reads raise OSError (EIO). `torn`: a write keeps only a part of its
    data, of random length, and reports success. Exposure is the number of operations concerned.
    """

    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.DISK})

    fault: Literal["disk"] = "disk"
    delay: Duration = Field(default=0.0, description="added to each read and write")
    error: Literal["full", "read", "torn"] | None = Field(
        default=None, description="what goes wrong; nothing if not given"
    )
    probability: Share = Field(default=1.0, description="share of the operations")

    @model_validator(mode="after")
    def _check_something(self) -> Self:
        if not self.delay and self.error is None:
            raise InvalidValue(Code.MISSING_KEY, "neither delay nor error", "give one of them, or both")
        return self

    async def apply(self, target: ResolvedTarget, primitives: Primitives) -> Applied:
        rule = DiskRule(self.delay, self.error, self.probability)
        return await apply_all(primitives.disk(node, rule) for node in target.nodes)
