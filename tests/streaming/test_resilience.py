"""Deadline, bulkhead, retry budget, shedding, fallback."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systems.streaming.resilience.bulkhead import Bulkhead, BulkheadFull
from systems.streaming.resilience.deadline import HEADER, Deadline
from systems.streaming.resilience.fallback import LastKnownGood, NoFallback, first_available
from systems.streaming.resilience.retry_budget import RetryBudget
from systems.streaming.resilience.shedding import Priority, Shedder, threshold
from tests.support.manual_clock import ManualClock


class TestDeadline:
    def test_the_earlier_one_holds(self) -> None:
        clock = ManualClock()
        outer = Deadline.after(clock, 0.1)
        assert outer.within(1.0).remaining_s == pytest.approx(0.1)
        assert outer.within(0.04).remaining_s == pytest.approx(0.04)
        clock.time_s = 5.0
        assert outer.remaining_s == 0.0
        assert outer.expired

    @given(st.floats(0, 10), st.floats(0, 20))
    def test_the_next_hop_never_gets_more_than_is_left(self, budget_s: float, waited_s: float) -> None:
        clock = ManualClock()
        ours = Deadline.after(clock, budget_s)
        clock.time_s = waited_s
        theirs = Deadline.from_headers(clock, ours.headers(), default_s=60.0)
        assert theirs.remaining_s <= ours.remaining_s + 1e-9

    @pytest.mark.parametrize("header", ["", "soon", "-5", "1e9"])
    def test_a_header_from_a_confused_caller_never_exceeds_the_default(self, header: str) -> None:
        assert Deadline.from_headers(ManualClock(), {HEADER: header}, default_s=2.0).remaining_s <= 2.0

    async def test_it_interrupts(self) -> None:
        with pytest.raises(TimeoutError):
            async with Deadline.after(ManualClock(), 0.0).enforce():
                await asyncio.Event().wait()

    async def test_never_has_no_header_and_does_not_interrupt(self) -> None:
        never = Deadline.never(ManualClock())
        assert never.headers() == {}
        async with never.enforce():
            await asyncio.sleep(0)


class TestBulkhead:
    def test_refuses_the_call_over_the_limit_and_frees_places_also_after_errors(self) -> None:
        bulkhead = Bulkhead("dep", 2)
        with bulkhead, bulkhead, pytest.raises(BulkheadFull, match="2 calls"), bulkhead:
            pass
        assert bulkhead.active == 0
        with pytest.raises(RuntimeError), bulkhead:
            raise RuntimeError
        assert bulkhead.active == 0


class TestRetryBudget:
    @given(st.lists(st.booleans(), max_size=500), st.floats(0, 0.2))
    def test_retries_never_exceed_their_share(self, wanted: list[bool], ratio: float) -> None:
        budget = RetryBudget(ratio=ratio, burst=3.0)
        retries = 0
        for requests, wants in enumerate(wanted, start=1):
            budget.request()
            retries += wants and budget.try_spend()
            assert retries <= 3 + ratio * requests + 1e-6

    def test_a_long_calm_buys_no_more_than_the_burst(self) -> None:
        budget = RetryBudget(ratio=0.1, burst=3.0)
        for _ in range(10_000):
            budget.request()
        assert sum(budget.try_spend() for _ in range(100)) == 3

    def test_ten_requests_earn_one_retry(self) -> None:
        budget = RetryBudget(ratio=0.1, burst=1.0)
        assert budget.try_spend()
        for _ in range(10):
            assert not budget.try_spend()
            budget.request()
        assert budget.try_spend()


class TestShedding:
    @pytest.mark.parametrize(("overload", "expected"), [(0.35, 95.7), (0.80, 48.8), (0.95, 14.3)])
    def test_the_published_points(self, overload: float, expected: float) -> None:
        assert threshold(overload) == pytest.approx(expected, abs=0.05)

    def test_nothing_is_shed_up_to_the_target(self) -> None:
        shedder = Shedder(limit=10, target=0.6)
        assert all(shedder.try_enter(100) for _ in range(7))

    @settings(deadline=None)
    @given(st.lists(st.sampled_from([*Priority, None]), max_size=300))
    def test_no_priority_inversion_and_never_over_the_limit(self, arrivals: list[Priority | None]) -> None:
        shedder = Shedder(limit=20)
        for priority in arrivals:
            if priority is None:
                if shedder.active:
                    shedder.leave()
                continue
            at = threshold(shedder.overload)
            admitted = shedder.try_enter(priority)
            assert admitted == (priority <= at)
            assert shedder.active <= shedder.limit

    def test_play_survives_longest(self) -> None:
        shedder = Shedder(limit=100)
        refused: list[Priority] = []
        for _ in range(200):
            refused.extend(p for p in Priority if p not in refused and p > threshold(shedder.overload))
            shedder.try_enter(Priority.CRITICAL)
        assert refused == [Priority.BULK, Priority.BEST_EFFORT, Priority.DEGRADED, Priority.CRITICAL]
        assert shedder.active <= 100


class TestFallback:
    async def test_the_first_source_that_answers_is_named(self) -> None:
        failures = []

        async def broken() -> str:
            raise LookupError("gone")

        async def works() -> str:
            return "rows"

        level, rows = await first_available(
            [("fresh", broken), ("cached", works)],
            expected=(LookupError,),
            on_failure=lambda name, error: failures.append((name, str(error))),
        )
        assert (level, rows) == ("cached", "rows")
        assert failures == [("fresh", "gone")]
        with pytest.raises(NoFallback):
            await first_available([("fresh", broken)], expected=(LookupError,))
        with pytest.raises(LookupError):
            await first_available([("fresh", broken), ("cached", works)], expected=(KeyError,))

    def test_last_known_good_ages_and_is_bounded(self) -> None:
        clock = ManualClock()
        kept: LastKnownGood[int] = LastKnownGood(clock, limit=2, max_age_s=10.0)
        for key in ("a", "b", "c"):
            kept.keep(key, 1)
        assert (kept.get("a"), kept.get("b"), len(kept)) == (None, 1, 2)
        clock.time_s = 10.5
        assert kept.get("b") is None

    def test_the_newest_of_several_keys(self) -> None:
        clock = ManualClock()
        kept: LastKnownGood[str] = LastKnownGood(clock, limit=9, max_age_s=10.0)
        kept.keep("title", "old")
        clock.time_s = 3.0
        kept.keep("isp", "new")
        assert kept.freshest("title", "isp", "unknown") == "new"
        kept.keep("title", "newer")
        assert kept.freshest("title", "isp") == "newer"
        clock.time_s = 14.0
        assert kept.freshest("title", "isp") is None


class TestShedderByWork:
    def test_the_queue_is_bounded_by_its_work_whatever_its_number(self) -> None:
        shedder = Shedder(1000, work_limit_s=0.3)
        admitted = 0
        while shedder.try_enter(Priority.DEGRADED, 0.055):
            admitted += 1
        assert admitted == 5
        assert shedder.try_enter(Priority.CRITICAL, 0.002), "room is left for those who press play"
        shedder.leave(0.002)
        shedder.leave(0.055)
        assert shedder.try_enter(Priority.DEGRADED, 0.055)

    def test_the_number_is_bounded_too(self) -> None:
        shedder = Shedder(10, work_limit_s=1.0)
        assert sum(shedder.try_enter(Priority.DEGRADED, 0.001) for _ in range(20)) == 10
