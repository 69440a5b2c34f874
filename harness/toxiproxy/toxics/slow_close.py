from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.toxiproxy.toxics.base import DAY_MS, Behaviour, attribute

if TYPE_CHECKING:
    from harness.toxiproxy.stage import Stage


@dataclass(frozen=True)
class SlowClose(Behaviour):
    """Data flows; the end of it is passed on `delay` milliseconds late."""

    TYPE = "slow_close"

    delay: int = attribute(0, DAY_MS)

    async def pipe(self, stage: Stage) -> None:
        async for chunk in stage:
            await stage.write(chunk.data)
        if stage.ended and not stage.interrupted:
            ended_s = stage.memory.setdefault("ended_s", stage.now_s)
            await stage.wait_until(ended_s + self.delay / 1000)
