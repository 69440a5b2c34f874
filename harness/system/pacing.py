"""`constant_pacing`: when a client means to send each of its requests, however long the one before takes."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from itertools import count as count_from

from harness.errors import UsageError
from harness.system.host import Clock


async def constant_pacing(clock: Clock, interval_s: float, count: int | None = None) -> AsyncIterator[float]:
    """The intended times of requests, in seconds of the run: one each `interval_s`, the first at once.

        async for intended_s in constant_pacing(host.clock, 0.2, count=12):
            ...  # ask
            host.emit(Visit(host.clock.now(), latency_s=host.clock.now() - intended_s))

    Waits until each time, and not at all where the client is behind: a request that a slow one has held back starts as
    soon as it can, and its latency, measured from the intended time, includes the wait. Measured from its real start
    the wait would be in no figure (coordinated omission). `count` None: without end. UsageError unless `interval_s` is
    finite and above 0.
    """
    if not (math.isfinite(interval_s) and interval_s > 0):
        raise UsageError([f"interval_s is {interval_s!r}; it must be a finite number of seconds above 0"])
    start_s = clock.now()
    for index in count_from() if count is None else range(count):
        intended_s = start_s + index * interval_s
        if (wait_s := intended_s - clock.now()) > 0:
            await clock.sleep(wait_s)
        yield intended_s
