from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.toxiproxy.toxics.base import YEAR_MS, Behaviour, attribute

if TYPE_CHECKING:
    from harness.toxiproxy.stage import Stage


@dataclass(frozen=True)
class Latency(Behaviour):
    """Every chunk leaves `latency` ± `jitter` milliseconds after it arrived, in order, however many are on the way.

    The jitter is a whole number drawn from [-jitter, jitter); a delay below zero is none. After an update a
    chunk that waits is timed anew, still from its arrival. The end of the data is on its way as long.
    """

    TYPE = "latency"
    BUFFER_BYTES = 32 << 20  # what is on the way: 100 MB/s with 300 ms

    latency: int = attribute(0, YEAR_MS)
    jitter: int = attribute(0, YEAR_MS)

    async def pipe(self, stage: Stage) -> None:
        async for chunk in stage:
            # The due time, not the time of writing, is what a second latency toxic counts from: no drift.
            due_s = chunk.at_s + self._delay_s(stage)
            if not await stage.wait_until(due_s):
                stage.put_back(chunk)
                return
            await stage.write(chunk.data, at_s=due_s)
        if stage.ended and not stage.interrupted:
            await stage.wait_until(stage.ended_s + self._delay_s(stage))

    def _delay_s(self, stage: Stage) -> float:
        jitter_ms = stage.rng.randrange(-self.jitter, self.jitter) if self.jitter else 0
        return max(0, self.latency + jitter_ms) / 1000
