from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from harness.toxiproxy.toxics.base import TIB, YEAR_MS, Behaviour, attribute
from harness.toxiproxy.toxics.stage import Stage


@dataclass(frozen=True)
class Slicer(Behaviour):
    """Cuts data into pieces of about `average_size` ± `size_variation` bytes, `delay` microseconds apart."""

    TYPE = "slicer"
    NEEDS_TASK = False

    average_size: int = attribute(1, TIB)
    size_variation: int = attribute(0, TIB)
    delay: int = attribute(0, YEAR_MS * 1000)

    def contradictions(self) -> list[str]:
        if self.size_variation <= self.average_size:
            return []
        return [
            f"slicer.size_variation ({self.size_variation}) must not exceed slicer.average_size ({self.average_size})"
        ]

    async def pipe(self, stage: Stage) -> None:
        async for chunk in stage:
            rest = memoryview(chunk.data)
            due_s = max(stage.memory.get("due_s", 0.0), stage.now_s)
            for size in self.sizes(len(rest), stage.rng):
                # Counted from when the piece was due: timers of whole milliseconds must not stretch microseconds.
                if not await stage.wait_until(due_s):
                    stage.put_back(chunk._replace(data=bytes(rest)))
                    return
                await stage.write(bytes(rest[:size]))
                rest = rest[size:]
                due_s += self.delay / 1e6
                stage.memory["due_s"] = due_s

    def sizes(self, total: int, rng: random.Random) -> Iterator[int]:
        """The sizes of the pieces of `total` bytes: halved, off the middle by up to the variation, until small."""
        pending = [total]
        while pending:
            size = pending.pop()
            if size <= self.average_size + self.size_variation:
                yield size
                continue
            shift = rng.randrange(-self.size_variation, self.size_variation) if self.size_variation else 0
            left = min(max(size // 2 + shift, 1), size - 1)  # an empty piece would never come to an end
            pending += (size - left, left)
