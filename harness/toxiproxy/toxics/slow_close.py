from __future__ import annotations

from dataclasses import dataclass

from harness.toxiproxy.toxics.base import YEAR_MS, Behaviour, attribute
from harness.toxiproxy.toxics.stage import Stage


@dataclass(frozen=True)
class SlowClose(Behaviour):
    """Data relays; the end of it is passed on `delay` milliseconds late."""

    TYPE = "slow_close"
    NEEDS_TASK = False

    delay: int = attribute(0, YEAR_MS)

    async def pipe(self, stage: Stage) -> None:
        async for chunk in stage:
            await stage.write(chunk.data)
        if stage.ended and not stage.interrupted:
            # Counted from when the data before it had passed, however long that took.
            last_s = stage.memory.setdefault("last_s", stage.now_s)
            await stage.wait_until(last_s + self.delay / 1000)
