from __future__ import annotations

from dataclasses import dataclass

from harness.toxiproxy.toxics.base import Behaviour
from harness.toxiproxy.toxics.stage import Stage


@dataclass(frozen=True)
class Noop(Behaviour):
    """Passes everything on as it is: where to start from when writing a toxic."""

    TYPE = "noop"
    NEEDS_TASK = False

    async def pipe(self, stage: Stage) -> None:
        async for chunk in stage:
            await stage.write(chunk.data)
