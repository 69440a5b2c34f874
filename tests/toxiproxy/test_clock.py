"""Timers that ring when they should, in order, and not when they were cancelled."""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.toxiproxy.clock import FineClock
from tests.toxiproxy.support import descriptors, on_loop

pytestmark = pytest.mark.skipif(not FineClock.available, reason="no timerfd: Linux and Python 3.13 have it")


@contextmanager
def clock() -> Iterator[FineClock]:
    made = FineClock(asyncio.get_running_loop())
    try:
        yield made
    finally:
        made.close()


@on_loop
async def test_many_ring_in_order_and_never_early() -> None:
    rng = random.Random(1)
    with clock() as fine:
        rung: list[tuple[float, float]] = []
        done = asyncio.Event()
        start_s = fine.time()
        whens = [start_s + rng.uniform(-0.01, 0.1) for _ in range(300)]

        def ring(when_s: float) -> None:
            rung.append((when_s, fine.time()))
            if len(rung) == len(whens):
                done.set()

        for when_s in whens:
            fine.call_at(when_s, lambda when_s=when_s: ring(when_s))  # type: ignore[misc]
        await done.wait()
        assert [when_s for when_s, _ in rung if when_s > start_s + 0.01] == [
            when_s for when_s in sorted(whens) if when_s > start_s + 0.01
        ]
        assert all(at_s >= when_s for when_s, at_s in rung)


@on_loop
async def test_they_are_finer_than_a_millisecond() -> None:
    with clock() as fine:
        late_s = []
        for _ in range(50):
            rung = asyncio.get_running_loop().create_future()
            due_s = fine.time() + 0.0003
            fine.call_at(due_s, lambda rung=rung: rung.set_result(None))  # type: ignore[misc]
            await rung
            late_s.append(fine.time() - due_s)
        assert statistics.quantiles(late_s, n=4)[0] < 0.0005


@on_loop
async def test_what_is_cancelled_does_not_ring_and_is_tidied_up() -> None:
    with clock() as fine:
        rung: list[int] = []
        timers = [fine.call_at(fine.time() + 0.02, lambda n=n: rung.append(n)) for n in range(500)]  # type: ignore[misc]
        for timer in timers[1:]:
            timer.cancel()
            timer.cancel()
        assert len(fine._timers) < 100
        last = asyncio.Event()
        fine.call_at(fine.time() + 0.04, last.set)
        await last.wait()
        assert rung == [0]
        timers[0].cancel()  # it has rung


@on_loop
async def test_a_timer_may_be_set_by_another() -> None:
    with clock() as fine:
        done = asyncio.Event()
        fine.call_at(0.0, lambda: fine.call_at(fine.time() + 0.001, done.set))
        await done.wait()


@on_loop
async def test_closing_it_leaves_nothing() -> None:
    before = descriptors()
    with clock() as fine:
        fine.call_at(fine.time() + 0.01, lambda: pytest.fail("it was closed"))
        assert descriptors() == before + 1
    await asyncio.sleep(0.02)
    assert descriptors() == before
