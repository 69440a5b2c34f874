from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.toxiproxy.toxics.base import YEAR_MS, Behaviour, attribute

if TYPE_CHECKING:
    from harness.toxiproxy.stage import Stage


@dataclass(frozen=True)
class SlowClose(Behaviour):
    """Data flows; the end of it is passed on `delay` milliseconds late."""

    TYPE = "slow_close"

    delay: int = attribute(0, YEAR_MS)

    async def pipe(self, stage: Stage) -> None:
        async for chunk in stage:
            await stage.write(chunk.data)
        if stage.ended and not stage.interrupted:
            # Counted from when the data before it had passed, however long that took.
            last_s = stage.memory.setdefault("last_s", stage.now_s)
            await stage.wait_until(last_s + self.delay / 1000)
