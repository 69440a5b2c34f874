from __future__ import annotations

from dataclasses import dataclass

from harness.toxiproxy.toxics.base import TIB, Behaviour, attribute, text_attribute
from harness.toxiproxy.toxics.stage import Stage

_SLICE_MS = 100
_SHARED_SLICE_MS = 10
_MIN_SHARED_SLICE_BYTES = 1500  # an Ethernet packet


@dataclass(frozen=True)
class Bandwidth(Behaviour):
    """At most `rate` KB/s (1 KB = 1000 bytes) on each connection, in slices of 100 ms. 0 lets nothing through.

    Those of one `group`, whatever their proxy, stream and connection, share one rate fairly, in slices of 10 ms.
    An idle connection saves up no rate for later.
    """

    TYPE = "bandwidth"
    NEEDS_TASK = False

    rate: int = attribute(0, TIB // 1000)
    group: str = text_attribute(200)

    async def pipe(self, stage: Stage) -> None:
        limiter = stage.rate_limiter(self.group)
        slice_bytes = self.rate * _SLICE_MS  # KB/s are bytes per millisecond
        if self.group:
            slice_bytes = min(slice_bytes, max(_MIN_SHARED_SLICE_BYTES, self.rate * _SHARED_SLICE_MS))
        async for chunk in stage:
            data = chunk.data
            while data:
                if not self.rate:
                    await stage.wait_until(None)
                    stage.put_back(chunk._replace(data=data))
                    return
                part = data[:slice_bytes]
                duration_s = len(part) / (self.rate * 1000)
                # Slices follow one another from when the last one was due, not from when a late timer fired;
                # beyond one slice, time in which nothing could be sent is not made up for.
                due_s = limiter.reserve(duration_s, max(chunk.at_s, stage.now_s - _SLICE_MS / 1000))
                if not await stage.wait_until(due_s):
                    limiter.cancel(duration_s, due_s)
                    stage.put_back(chunk._replace(data=data))
                    return
                await stage.write(part)
                data = data[len(part) :]

    def abandoned(self, stage: Stage) -> None:
        if not self.rate:
            stage.close()
