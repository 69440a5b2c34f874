"""Applied primitives are undone once, and tried again when that fails."""

from __future__ import annotations

import asyncio

import pytest

from harness.faults.exposure import Exposure
from harness.faults.primitives import FaultFailed
from harness.runtime.contract import NotReady
from harness.runtime.primitives import AppliedPrimitive, node_named, restart


def test_undo_is_done_once_and_can_be_tried_again() -> None:
    calls: list[int] = []

    async def undo() -> None:
        calls.append(len(calls))
        if len(calls) == 1:
            raise FaultFailed("not yet")

    async def main() -> None:
        applied = AppliedPrimitive(undo, lambda: Exposure(bytes=len(calls)))
        with pytest.raises(FaultFailed):
            await applied.undo()
        await applied.undo()
        await applied.undo()
        assert calls == [0, 1]
        assert applied.exposure() == Exposure(bytes=2)

    asyncio.run(main())


def test_a_node_that_does_not_start_fails_the_fault() -> None:
    async def start() -> None:
        raise NotReady("it ended")

    with pytest.raises(FaultFailed, match=r"edge-1 .*it ended") as failed:
        asyncio.run(restart("edge-1", start()))
    assert isinstance(failed.value.__cause__, NotReady)


def test_an_unknown_node_fails_the_fault() -> None:
    assert node_named("a", {"a": 1}) == 1
    with pytest.raises(FaultFailed, match=r"'b'.* a$"):
        node_named("b", {"a": 1})
