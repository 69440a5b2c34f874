from __future__ import annotations

from typing import ClassVar, Literal

from harness.faults.base import Fault
from harness.faults.primitives import Applied, Capability, Primitives, ResolvedTarget


class Reset(Fault):
    """Every connection between the two ends is broken at once (RST); new ones may be opened again."""

    targets: ClassVar[Literal["nodes", "link"]] = "link"
    instant: ClassVar[bool] = True
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.RESET})

    fault: Literal["reset"] = "reset"

    async def apply(self, target: ResolvedTarget, primitives: Primitives) -> Applied:
        return await primitives.reset(target.path)
