"""Ways of awaiting that asyncio does not have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable
from contextlib import asynccontextmanager
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


@asynccontextmanager
async def background(work: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """Run `work` for the time of the block, at most. The block may be left by another task than entered it, so this
    is not a task group."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
