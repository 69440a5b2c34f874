from __future__ import annotations

from dataclasses import dataclass

from harness.toxiproxy.toxics.base import YEAR_MS, Behaviour, attribute
from harness.toxiproxy.toxics.stage import Stage


@dataclass(frozen=True)
class Timeout(Behaviour):
    """Swallows everything; closes the connection `timeout` milliseconds after the last data. 0: never.

    When it is taken away, the connections on which it swallowed are closed: their data is not whole any more.
    """

    TYPE = "timeout"

    timeout: int = attribute(0, YEAR_MS)

    async def pipe(self, stage: Stage) -> None:
        within_s = self.timeout / 1000 if self.timeout else None
        while await stage.receive(within_s) is not None:
            pass
        # The sender's end is swallowed like its data, so the silence lasts as long.
        if stage.ended and within_s is not None:
            await stage.wait_until(stage.now_s + within_s)
        elif stage.ended:
            await stage.wait_until(None)
        if not stage.interrupted:
            stage.close()

    def removed(self, stage: Stage) -> None:
        stage.close()
