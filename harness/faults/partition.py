from __future__ import annotations

from typing import ClassVar, Literal

from harness.faults.base import LinkFault
from harness.faults.primitives import Applied, Capability, Primitives, ResolvedTarget, apply_all


class Partition(LinkFault):
    """Silence: nothing gets through and nothing is refused. Both ways, or one way with `direction`.

    Data on the way is held and sent again after the end, as TCP does; new connections hang.
    """

    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.CUT})

    fault: Literal["partition"] = "partition"

    async def apply(self, target: ResolvedTarget, primitives: Primitives) -> Applied:
        return await apply_all(primitives.cut(path) for path in self.paths(target))
