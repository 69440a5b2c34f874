"""Awaiting to the end, all at once, and in the background."""

from __future__ import annotations

import asyncio

import pytest

from harness.live.tasks import background, run_all, run_to_end


def test_work_goes_on_when_its_caller_is_cancelled() -> None:
    async def body() -> None:
        begun, done = asyncio.Event(), asyncio.Event()
        may_end = asyncio.Event()

        async def work() -> None:
            begun.set()
            await may_end.wait()
            done.set()

        caller = asyncio.create_task(run_to_end(work()))
        await begun.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        may_end.set()
        await done.wait()

    asyncio.run(body())


def test_all_run_to_their_end_although_one_fails() -> None:
    async def body() -> None:
        done = []

        async def work(number: int) -> None:
            await asyncio.sleep(0)
            if number == 1:
                raise LookupError(number)
            done.append(number)

        with pytest.raises(LookupError):
            await run_all(work(number) for number in range(3))
        assert done == [0, 2]

    asyncio.run(body())


def test_background_work_ends_with_the_block() -> None:
    async def body() -> None:
        ended = asyncio.Event()

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        async with background(work()):
            await asyncio.sleep(0)
            assert not ended.is_set()
        assert ended.is_set()

    asyncio.run(body())
