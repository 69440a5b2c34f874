"""The breaker: Hystrix' rule, exact times, and none of pybreaker's surprises under asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systems.streaming.resilience.breaker import (
    CLOSED,
    HALF_OPEN,
    OPEN,
    Breaker,
    BreakerOpen,
    BreakerPolicy,
)
from tests.support.manual_clock import ManualClock

TIGHT = BreakerPolicy(volume=3, error_ratio=0.5, window_s=10.0, open_s=5.0)


class Boom(Exception):
    pass


async def succeed() -> str:
    return "answer"


async def fail() -> str:
    raise Boom


def breaker(policy: BreakerPolicy = TIGHT) -> tuple[Breaker, ManualClock, list[str]]:
    clock = ManualClock()
    states: list[str] = []
    return Breaker("dep", clock, policy, on_change=states.append), clock, states


async def attempt(subject: Breaker, operation: Callable[[], Awaitable[str]]) -> None:
    with contextlib.suppress(Boom, BreakerOpen):
        await subject.call(operation)


async def opened(policy: BreakerPolicy = TIGHT) -> tuple[Breaker, ManualClock, list[str]]:
    subject, clock, states = breaker(policy)
    for _ in range(policy.volume):
        await attempt(subject, fail)
    assert subject.state == OPEN
    return subject, clock, states


async def test_opens_at_the_twentieth_request_with_half_of_them_failed_and_not_before() -> None:
    subject, _, states = breaker(BreakerPolicy())
    for _ in range(10):
        await attempt(subject, succeed)
    for _ in range(9):
        await attempt(subject, fail)
    assert subject.state == CLOSED
    await attempt(subject, fail)
    assert subject.state == OPEN
    assert states == [OPEN]


async def test_failures_older_than_the_window_do_not_count() -> None:
    subject, clock, _ = breaker()
    await attempt(subject, fail)
    await attempt(subject, fail)
    clock.time_s += 10.0
    await attempt(subject, fail)
    assert subject.state == CLOSED


async def test_open_refuses_without_calling_until_the_exact_end_of_the_sleep() -> None:
    subject, clock, _ = await opened()
    calls = []

    async def operation() -> str:
        calls.append(1)
        return "answer"

    clock.time_s = 4.999999
    with pytest.raises(BreakerOpen) as refused:
        await subject.call(operation)
    assert refused.value.retry_after_s == pytest.approx(1e-6)
    assert calls == []
    clock.time_s = 5.0
    assert await subject.call(operation) == "answer"
    assert subject.state == CLOSED


async def test_a_failed_trial_opens_for_another_full_sleep() -> None:
    subject, clock, states = await opened()
    clock.time_s = 5.0
    with pytest.raises(Boom):
        await subject.call(fail)
    assert subject.state == OPEN
    clock.time_s = 9.9
    with pytest.raises(BreakerOpen):
        await subject.call(succeed)
    clock.time_s = 10.0
    await subject.call(succeed)
    assert states == [OPEN, HALF_OPEN, OPEN, HALF_OPEN, CLOSED]


async def test_half_open_admits_exactly_one_of_a_hundred_concurrent_calls() -> None:
    subject, clock, _ = await opened()
    clock.time_s = 5.0
    running = asyncio.Event()
    entered = []

    async def trial() -> str:
        entered.append(1)
        await running.wait()
        return "answer"

    tasks = [asyncio.create_task(subject.call(trial)) for _ in range(100)]
    await asyncio.sleep(0)
    running.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert len(entered) == 1
    assert sum(isinstance(outcome, BreakerOpen) for outcome in outcomes) == 99
    assert outcomes.count("answer") == 1


async def test_cancellation_is_neither_failure_nor_success_and_is_not_swallowed() -> None:
    subject, _, _ = breaker()
    await attempt(subject, fail)
    await attempt(subject, fail)
    for _ in range(5):
        task = asyncio.create_task(subject.call(lambda: asyncio.Event().wait()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert subject.state == CLOSED
    await attempt(subject, fail)
    assert subject.state == OPEN


async def test_a_timeout_around_the_call_stays_a_timeout() -> None:
    subject, _, _ = breaker(BreakerPolicy(volume=1))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await subject.call(lambda: asyncio.Event().wait())
    assert subject.state == CLOSED


async def test_the_error_that_trips_is_the_callers_own() -> None:
    subject, _, _ = breaker(BreakerPolicy(volume=1))
    with pytest.raises(Boom):
        await subject.call(fail)
    assert subject.state == OPEN


async def test_a_cancelled_trial_lets_the_next_call_be_the_trial() -> None:
    subject, clock, _ = await opened()
    clock.time_s = 5.0
    task = asyncio.create_task(subject.call(lambda: asyncio.Event().wait()))
    await asyncio.sleep(0)
    with pytest.raises(BreakerOpen):
        await subject.call(succeed)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await subject.call(succeed) == "answer"
    assert subject.state == CLOSED


@pytest.mark.parametrize("late", [succeed, fail])
async def test_late_outcomes_of_calls_from_before_the_trip_are_dropped(
    late: Callable[[], Awaitable[str]],
) -> None:
    subject, clock, states = breaker()
    go = asyncio.Event()

    async def slow() -> str:
        await go.wait()
        return await late()

    stragglers = [asyncio.create_task(subject.call(slow)) for _ in range(4)]
    await asyncio.sleep(0)
    for _ in range(3):
        await attempt(subject, fail)
    clock.time_s = 5.0
    await subject.call(succeed)
    assert subject.state == CLOSED
    go.set()
    await asyncio.gather(*stragglers, return_exceptions=True)
    assert subject.state == CLOSED
    assert states == [OPEN, HALF_OPEN, CLOSED]


async def test_answers_that_are_no_failures_of_the_dependency_do_not_trip() -> None:
    clock = ManualClock()
    subject = Breaker("dep", clock, TIGHT, is_failure=lambda error: not isinstance(error, Boom))
    for _ in range(50):
        await attempt(subject, fail)
    assert subject.state == CLOSED


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.floats(0, 4), st.sampled_from(["ok", "fail", "cancel"])), max_size=80),
    st.integers(1, 8),
    st.floats(0.1, 1.0),
)
def test_it_follows_the_rule_for_any_history(
    history: list[tuple[float, str]], volume: int, ratio: float
) -> None:
    """Against a plain model: list of (bucket, failed); open until; closed after one good trial."""
    policy = BreakerPolicy(volume=volume, error_ratio=ratio)

    async def play() -> None:
        subject, clock, _ = breaker(policy)
        seen: list[tuple[int, bool]] = []
        open_until: float | None = None
        for wait_s, outcome in history:
            clock.time_s += wait_s
            now = clock.time_s
            called = False

            async def operation(outcome: str = outcome) -> str:
                nonlocal called
                called = True
                if outcome == "cancel":
                    raise asyncio.CancelledError
                return await (fail() if outcome == "fail" else succeed())

            with contextlib.suppress(Boom, BreakerOpen, asyncio.CancelledError):
                await subject.call(operation)
            admitted = open_until is None or now - open_until >= 0
            assert called == admitted
            if not admitted or outcome == "cancel":
                continue
            if open_until is not None:  # a trial
                open_until = now + policy.open_s if outcome == "fail" else None
                seen = []
                continue
            seen.append((int(now), outcome == "fail"))
            window = [failed for second, failed in seen if second > int(now) - 10]
            if outcome == "fail" and len(window) >= volume and sum(window) >= ratio * len(window):
                open_until, seen = now + policy.open_s, []

    asyncio.run(play())


def taking(clock: ManualClock, seconds: float) -> Callable[[], Awaitable[str]]:
    async def operation() -> str:
        clock.time_s += seconds
        return "ok"

    return operation


SLOW = BreakerPolicy(volume=4, slow_call_s=1.0, slow_ratio=0.5, open_s=5.0)


async def test_calls_that_succeed_slowly_open_it() -> None:
    subject, clock, states = breaker(SLOW)
    for seconds in (0.1, 0.1, 1.0):
        await attempt(subject, taking(clock, seconds))
    assert subject.state == CLOSED, "three calls are too few"
    await attempt(subject, taking(clock, 1.5))
    assert states == [OPEN]


async def test_fast_calls_never_do() -> None:
    subject, clock, states = breaker(SLOW)
    for seconds in (0.5, 0.9) * 50:
        await attempt(subject, taking(clock, seconds))
    assert states == []


async def test_a_slow_trial_opens_it_again_and_a_fast_one_closes_it() -> None:
    subject, clock, states = await opened(SLOW)
    clock.time_s += 5.0
    await attempt(subject, taking(clock, 2.0))
    clock.time_s += 5.0
    await attempt(subject, taking(clock, 0.1))
    assert states == [OPEN, HALF_OPEN, OPEN, HALF_OPEN, CLOSED]


async def test_a_number_of_failures_opens_it_whatever_their_share() -> None:
    subject, _, _ = breaker(BreakerPolicy(error_volume=5))
    for _ in range(4):
        await attempt(subject, fail)
        await attempt(subject, succeed)
    assert subject.state == CLOSED
    await attempt(subject, fail)
    assert subject.state == OPEN


async def test_failures_in_a_row_open_it_and_a_success_between_them_does_not() -> None:
    subject, _, _ = breaker(BreakerPolicy(consecutive=3))
    for operation in (fail, fail, succeed, fail, fail):
        await attempt(subject, operation)
    assert subject.state == CLOSED
    await attempt(subject, fail)
    assert subject.state == OPEN


@pytest.mark.parametrize("trials", [1, 3])
async def test_half_open_admits_as_many_as_the_policy_says(trials: int) -> None:
    subject, clock, _ = await opened(BreakerPolicy(volume=3, open_s=5.0, trials=trials))
    clock.time_s += 5.0
    asked, go = 0, asyncio.Event()

    async def wait() -> str:
        nonlocal asked
        asked += 1
        await go.wait()
        return "ok"

    tasks = [asyncio.create_task(subject.call(wait)) for _ in range(20)]
    await asyncio.sleep(0)
    assert asked == trials
    go.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert subject.state == CLOSED


async def test_what_is_neutral_is_neither_counted_nor_a_trial() -> None:
    clock = ManualClock()
    subject = Breaker("dep", clock, TIGHT, is_neutral=lambda error: isinstance(error, Boom))
    for _ in range(50):
        await attempt(subject, fail)
    assert subject.state == CLOSED
