from __future__ import annotations

from dataclasses import dataclass

from harness.toxiproxy.toxics.base import TIB, Behaviour, attribute
from harness.toxiproxy.toxics.stage import Stage


@dataclass(frozen=True)
class LimitData(Behaviour):
    """Passes exactly `bytes` bytes of each connection, then closes it. With 0 the first data closes it."""

    TYPE = "limit_data"
    NEEDS_TASK = False

    bytes: int = attribute(0, TIB)

    async def pipe(self, stage: Stage) -> None:
        async for chunk in stage:
            passed = int(stage.memory.get("passed", 0))
            data = chunk.data[: max(0, self.bytes - passed)]
            stage.memory["passed"] = passed + len(data)
            await stage.write(data)
            if passed + len(data) >= self.bytes:
                stage.close()
                return
