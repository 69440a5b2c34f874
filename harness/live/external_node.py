"""`ExternalNode`: a node that runs already (`Node.external`), in live runs."""

from __future__ import annotations

import asyncio

from harness.faults.primitives import FaultFailed, HostRule
from harness.live.nodes import LiveNode
from harness.runtime.contract import NotReady
from harness.runtime.primitives import Hold, Stop

ANSWER_S = 5.0
"""How long it may take to accept a connection."""


class ExternalNode(LiveNode):
    """It runs already, and goes on after the run: only faults on its links are possible."""

    async def start(self) -> None:
        host, port = self._context.links.ports[self._node.name]
        try:
            async with asyncio.timeout(ANSWER_S):
                _, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError) as error:
            raise NotReady(f"nothing answers at {host}:{port} ({error})") from error
        writer.close()

    async def stop(self, hold: Hold, how: Stop) -> None:
        raise self._refused(how)

    def pause(self, hold: Hold) -> None:
        raise self._refused("pause")

    def limit_cpu(self, hold: Hold, factor: float) -> None:
        raise self._refused("cpu-limit")

    def interfere(self, number: int, rule: HostRule, names: tuple[str | int, ...]) -> None:
        raise self._refused("interference")

    def _refused(self, what: str) -> FaultFailed:
        return FaultFailed(
            f"no {what} at {self._node.name}: it runs already, and only its links can have faults"
        )
