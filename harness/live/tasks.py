"""Ways of awaiting that asyncio does not have."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any

_running: set[asyncio.Task[Any]] = set()
"""The event loop itself keeps weak references only."""


async def run_to_end[T](work: Coroutine[Any, Any, T]) -> T:
    """Await `work`, which goes on to its end also when the caller is cancelled."""
    task = asyncio.create_task(work)
    _running.add(task)
    task.add_done_callback(_running.discard)
    return await asyncio.shield(task)


async def run_all(work: Iterable[Awaitable[None]]) -> None:
    """Await all at once, each to its end even when another fails; then raise the first failure."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if outcome is not None:
            raise outcome
