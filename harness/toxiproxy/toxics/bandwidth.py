from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.toxiproxy.toxics.base import TIB, Behaviour, attribute

if TYPE_CHECKING:
    from harness.toxiproxy.stage import Stage

_SLICE_MS = 100


@dataclass(frozen=True)
class Bandwidth(Behaviour):
    """At most `rate` KB/s (1 KB = 1000 bytes) on each connection, in slices of 100 ms. 0 lets nothing through.

    Time in which nothing was sent is not saved up for later.
    """

    TYPE = "bandwidth"

    rate: int = attribute(0, TIB // 1000)

    async def pipe(self, stage: Stage) -> None:
        async for chunk in stage:
            data = chunk.data
            while data:
                if not self.rate:
                    await stage.wait_until(None)
                    stage.put_back(chunk._replace(data=data))
                    return
                part = data[: self.rate * _SLICE_MS]  # KB/s are bytes a millisecond
                # Slices follow one another from when the last one was due, not from when a late timer rang;
                # beyond one slice, time in which nothing could be sent is not made up for.
                start_s = max(stage.memory.get("free_at_s", 0.0), chunk.at_s, stage.now_s - _SLICE_MS / 1000)
                due_s = start_s + len(part) / (self.rate * 1000)
                if not await stage.wait_until(due_s):
                    stage.put_back(chunk._replace(data=data))
                    return
                stage.memory["free_at_s"] = due_s
                await stage.write(part)
                data = data[len(part) :]
