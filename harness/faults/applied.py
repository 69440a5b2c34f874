"""Several primitives in force as one: applied all or none, undone all, exposure summed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence

from harness.faults.primitives import Applied, Exposure, FaultFailed


class CompositeApplied:
    """An `Applied` of several. `undo` undoes all of them at the same moment, even when one fails."""

    def __init__(self, parts: Sequence[Applied]) -> None:
        self._parts = tuple(parts)

    async def undo(self) -> None:
        # Concurrently: nodes that were stopped at one moment are started at one moment.
        outcomes = await asyncio.gather(*(part.undo() for part in self._parts), return_exceptions=True)
        _raise_first(outcomes)

    def exposure(self) -> Exposure:
        return sum((part.exposure() for part in self._parts), Exposure())


async def apply_all(steps: Iterable[Awaitable[Applied]]) -> Applied:
    """Await the steps in order. When one raises, what was applied is undone before it is raised again."""
    parts: list[Applied] = []
    pending = iter(steps)
    try:
        for step in pending:
            parts.append(await step)
    except BaseException as failure:
        for left in pending:
            _discard(left)
        try:
            await CompositeApplied(parts).undo()
        except Exception as error:
            raise FaultFailed(f"{failure}; and undoing what was applied failed: {error}") from failure
        raise
    if not parts:
        raise FaultFailed("the target holds no host to apply the fault to")
    return parts[0] if len(parts) == 1 else CompositeApplied(parts)


def _discard(step: Awaitable[Applied]) -> None:
    close = getattr(step, "close", None)
    if close is not None:
        close()


def _raise_first(outcomes: Sequence[BaseException | None]) -> None:
    failures = [outcome for outcome in outcomes if outcome is not None]
    for failure in failures:
        if not isinstance(failure, Exception):
            raise failure
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise FaultFailed("; ".join(str(failure) for failure in failures)) from failures[0]
