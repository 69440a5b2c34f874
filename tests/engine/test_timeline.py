"""Faults at their times, undone in order, and undone whatever happens. Primitives only write down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from harness.engine.events import Change
from harness.engine.plan import PlannedFault
from harness.engine.timeline import MAX_APPLY_S, Timeline, never_applied
from harness.faults.catalogue import FAULTS
from harness.faults.exposure import Exposure
from harness.faults.primitives import (
    Applied,
    EndpointMatch,
    PathMatch,
    ResolvedTarget,
)
from harness.sim.loop import SimLoop
from tests.support.fake_primitives import FakePrimitives


class LoopClock:
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def planned(name: str, kind: str, at_s: float, for_s: float | None, node: str = "a") -> PlannedFault:
    given: dict[str, Any] = {"at": f"{at_s}s", "fault": kind, "target": {"node": node}}
    if for_s is not None:
        given["for"] = f"{for_s}s"
    path = PathMatch(EndpointMatch(everything=True), EndpointMatch(frozenset({node})))
    return PlannedFault(name, FAULTS[kind].model_validate(given), ResolvedTarget((node,), path, (node,)))


class Bench:
    """A timeline that begins at 100 s of a virtual clock, and all changes that it reported."""

    def __init__(self, *faults: PlannedFault, primitives: Any = None) -> None:
        self.primitives = primitives or FakePrimitives()
        self.faults = faults
        self.changes: list[tuple[float, str, str]] = []
        self.timeline: Timeline

    def run(self, body: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        async def main() -> None:
            await asyncio.sleep(100)
            clock = LoopClock()

            def report(fault: PlannedFault, change: Change) -> None:
                self.changes.append((round(clock.now() - 100, 6), fault.name, change))

            self.timeline = Timeline(self.faults, self.primitives, clock, 100.0, report)
            await (self.timeline.run() if body is None else body())

        SimLoop(1).run(main())


def test_faults_are_applied_and_undone_at_their_times() -> None:
    bench = Bench(planned("one", "crash", 10, 5, "a"), planned("two", "pause", 12, 10, "b"))
    bench.run()
    assert bench.changes == [
        (10, "one", "applied"),
        (12, "two", "applied"),
        (15, "one", "undone"),
        (22, "two", "undone"),
    ]
    one, two = bench.timeline.records()
    assert (one.at_s, one.for_s, one.applied_at_s, one.undone_at_s) == (10, 5, 110, 115)
    assert (two.applied_at_s, two.undone_at_s, two.error) == (112, 122, None)
    assert one.exposure.connections == 1


def test_at_one_moment_undoing_comes_first_and_the_last_applied_is_undone_first() -> None:
    bench = Bench(
        planned("next", "crash", 15, 5, "c"),
        planned("first", "crash", 10, 5, "a"),
        planned("second", "crash", 10, 5, "b"),
    )
    bench.run()
    assert [what for _, *what in bench.changes] == [
        ["first", "applied"],
        ["second", "applied"],
        ["second", "undone"],
        ["first", "undone"],
        ["next", "applied"],
        ["next", "undone"],
    ]


def test_what_happens_in_an_instant_is_over_at_once() -> None:
    bench = Bench(planned("rst", "reset", 10, None))
    bench.run()
    (record,) = bench.timeline.records()
    assert (record.applied_at_s, record.undone_at_s, record.for_s) == (110, 110, 0)


def test_a_fault_that_cannot_be_applied_says_so_and_the_others_go_on() -> None:
    primitives = FakePrimitives(refuse=lambda what: what == ("kill", "a"))
    bench = Bench(
        planned("bad", "crash", 10, 5, "a"), planned("good", "crash", 11, 5, "b"), primitives=primitives
    )
    bench.run()
    bad, good = bench.timeline.records()
    assert bad.error is not None
    assert "could not be applied" in bad.error
    assert (bad.applied_at_s, bad.undone_at_s) == (None, None)
    assert (good.applied_at_s, good.undone_at_s) == (111, 116)
    assert (10, "bad", "failed") in bench.changes


def test_a_fault_that_cannot_be_undone_says_so() -> None:
    primitives = FakePrimitives(stuck=lambda what: what == ("kill", "a"))
    bench = Bench(
        planned("bad", "crash", 10, 5, "a"), planned("good", "crash", 11, 6, "b"), primitives=primitives
    )
    bench.run()
    bad, good = bench.timeline.records()
    assert bad.error is not None
    assert "could not be undone" in bad.error
    assert (bad.applied_at_s, bad.undone_at_s) == (110, None)
    assert good.undone_at_s == 117
    assert (15, "bad", "failed") in bench.changes


def test_when_the_run_breaks_off_what_is_in_force_is_undone_the_last_first() -> None:
    bench = Bench(
        planned("one", "crash", 10, 50, "a"),
        planned("two", "crash", 12, 50, "b"),
        planned("never", "crash", 30, 5, "c"),
    )

    async def body() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(20):
                await bench.timeline.run()

    bench.run(body)
    assert bench.primitives.log == [
        ("kill", "a"),
        ("kill", "b"),
        ("undo", "kill", "b"),
        ("undo", "kill", "a"),
    ]
    assert bench.primitives.in_force == []
    one, two, never = bench.timeline.records()
    assert (one.undone_at_s, two.undone_at_s) == (120, 120)
    assert (never.applied_at_s, never.error) == (None, None)


class SlowKill(FakePrimitives):
    """Killing takes its time; what is half killed is not there to be undone."""

    takes_s = 5.0

    async def kill(self, node: str) -> Applied:
        await asyncio.sleep(self.takes_s)
        return await super().kill(node)


def test_what_is_just_being_applied_is_applied_and_then_undone() -> None:
    bench = Bench(planned("slow", "crash", 10, 50), primitives=SlowKill())

    async def body() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(12):
                await bench.timeline.run()

    bench.run(body)
    (record,) = bench.timeline.records()
    # In force from when it began to be applied: that may be felt at once.
    assert (record.applied_at_s, record.undone_at_s) == (110, 115)
    assert bench.primitives.in_force == []


def test_what_never_ends_being_applied_is_given_up() -> None:
    primitives = SlowKill()
    primitives.takes_s = 1000.0
    bench = Bench(planned("slow", "crash", 10, 50), primitives=primitives)

    async def body() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(12):
                await bench.timeline.run()
        assert asyncio.get_running_loop().time() == 112 + MAX_APPLY_S

    bench.run(body)
    (record,) = bench.timeline.records()
    assert record.error is not None
    assert "before it was done" in record.error


def test_undoing_waits_for_an_applying_that_takes_longer_than_the_fault_lasts() -> None:
    bench = Bench(planned("slow", "crash", 10, 2), primitives=SlowKill())
    bench.run()
    (record,) = bench.timeline.records()
    assert (record.applied_at_s, record.undone_at_s) == (110, 115)


class Broken(FakePrimitives):
    async def kill(self, node: str) -> Applied:
        raise ZeroDivisionError("a defect")

    async def pause(self, node: str) -> Applied:
        return BrokenApplied()


class BrokenApplied:
    async def undo(self) -> None:
        raise KeyError("a defect")

    def exposure(self) -> Exposure:
        return Exposure(bytes=1)


def test_a_defect_of_a_primitive_is_an_error_of_the_fault() -> None:
    bench = Bench(planned("one", "crash", 10, 2), planned("two", "pause", 10, 2), primitives=Broken())
    bench.run()
    one, two = bench.timeline.records()
    assert one.error == "could not be applied: ZeroDivisionError: a defect"
    assert two.error == "could not be undone: KeyError: 'a defect'"


def test_faults_that_never_came_are_recorded_as_such() -> None:
    (record,) = never_applied([planned("one", "crash", 10, 2)])
    assert (record.applied_at_s, record.undone_at_s, record.error) == (None, None, None)
    assert record.exposure == Exposure()


class SlowStart(FakePrimitives):
    """A killed node takes its time until it is ready again."""

    async def kill(self, node: str) -> Applied:
        return _Warming(await super().kill(node))


class _Warming:
    def __init__(self, applied: Applied) -> None:
        self._applied = applied

    async def undo(self) -> None:
        await asyncio.sleep(20)
        await self._applied.undo()

    def exposure(self) -> Exposure:
        return self._applied.exposure()


def test_a_fault_ends_when_it_is_undone_not_when_its_node_is_ready_again() -> None:
    bench = Bench(planned("slow", "crash", 10, 5), primitives=SlowStart())
    bench.run()
    (record,) = bench.timeline.records()
    assert record.undone_at_s == 115
