"""What the primitives of every runtime have in common (`harness.faults.primitives`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from harness.faults.exposure import Exposure
from harness.faults.primitives import FaultFailed
from harness.runtime.contract import NotReady


class AppliedPrimitive:
    """An `Applied` made of two functions. An `undo` that fails can be tried again; after the first success it does
    nothing."""

    def __init__(self, undo: Callable[[], Awaitable[None]], exposure: Callable[[], Exposure]) -> None:
        self._undo: Callable[[], Awaitable[None]] | None = undo
        self._exposure = exposure

    async def undo(self) -> None:
        undo, self._undo = self._undo, None
        if undo is not None:
            try:
                await undo()
            except BaseException:
                self._undo = undo
                raise

    def exposure(self) -> Exposure:
        return self._exposure()


async def nothing_to_undo() -> None:
    """The undo of a primitive that is over at once."""


def node_named[N](name: str, nodes: Mapping[str, N]) -> N:
    """FaultFailed when there is no such node."""
    node = nodes.get(name)
    if node is None:
        raise FaultFailed(f"no node '{name}'; there are {', '.join(nodes)}")
    return node


async def restart(name: str, start: Awaitable[None]) -> None:
    """Await the start of a node. FaultFailed when it does not become ready."""
    try:
        await start
    except NotReady as error:
        raise FaultFailed(f"{name} did not start again: {error}") from error


type Stop = Literal["kill", "power_off"]


class Hold:
    """One fault's claim on a node; compared by identity. The node runs again when the last is released."""
