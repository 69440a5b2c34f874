from __future__ import annotations

from dataclasses import dataclass

from harness.toxiproxy.toxics.base import YEAR_MS, Behaviour, attribute
from harness.toxiproxy.toxics.stage import Stage


@dataclass(frozen=True)
class ResetPeer(Behaviour):
    """Resets the connection (RST, not FIN) `timeout` milliseconds after the first data or the end of it.

    An idle connection is left alone. What arrives meanwhile is held, and passes if the toxic is taken away.
    """

    TYPE = "reset_peer"
    NEEDS_TASK = False

    timeout: int = attribute(0, YEAR_MS)

    async def pipe(self, stage: Stage) -> None:
        chunk = await stage.receive()
        if chunk is None and not stage.ended:
            return  # interrupted
        since_s = stage.memory.setdefault("since_s", stage.now_s if chunk is None else chunk.at_s)
        if await stage.wait_until(since_s + self.timeout / 1000):
            stage.reset()
        elif chunk is not None:
            stage.put_back(chunk)
