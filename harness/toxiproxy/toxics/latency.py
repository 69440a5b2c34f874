from __future__ import annotations

from dataclasses import dataclass

from harness.toxiproxy.toxics.base import YEAR_MS, Behaviour, attribute
from harness.toxiproxy.toxics.stage import Stage


@dataclass(frozen=True)
class Latency(Behaviour):
    """Every chunk leaves `latency` ± `jitter` milliseconds after it arrived, in order, however many are on the way.

    The jitter is a whole number drawn from [-jitter, jitter); a delay below zero is none. `latency_us` and
    `jitter_us` are microseconds that are added to them, the jitter's drawn on its own. After an update a
    chunk that waits is timed anew, still from its arrival. The end of the data is on its way as long.
    """

    TYPE = "latency"
    NEEDS_TASK = False
    BUFFER_BYTES = 32 << 20  # what is on the way: 100 MB/s with 300 ms

    latency: int = attribute(0, YEAR_MS)
    jitter: int = attribute(0, YEAR_MS)
    latency_us: int = attribute(0, YEAR_MS, ours=True)
    jitter_us: int = attribute(0, YEAR_MS, ours=True)

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
        delay_us = self.latency * 1000 + self.latency_us
        if self.jitter:
            delay_us += stage.rng.randrange(-self.jitter, self.jitter) * 1000
        if self.jitter_us:
            delay_us += stage.rng.randrange(-self.jitter_us, self.jitter_us)
        return max(0, delay_us) / 1e6
