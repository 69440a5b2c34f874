from __future__ import annotations

from dataclasses import dataclass

from harness.toxiproxy.toxics.base import YEAR_MS, Behaviour, attribute
from harness.toxiproxy.toxics.stage import Stage


@dataclass(frozen=True)
class Timeout(Behaviour):
    """Swallows everything; closes the connection `timeout` milliseconds after the last data. 0: never.

    The end of the data closes it at once. When the toxic is removed, the connections on which it swallowed are
    closed: their data is incomplete.
    """

    TYPE = "timeout"
    NEEDS_TASK = False

    timeout: int = attribute(0, YEAR_MS)

    async def pipe(self, stage: Stage) -> None:
        within_s = self.timeout / 1000 if self.timeout else None
        while await stage.receive(within_s) is not None:
            pass
        if not stage.interrupted:
            stage.close()

    def abandoned(self, stage: Stage) -> None:
        stage.close()

    def removed(self, stage: Stage) -> None:
        stage.close()
