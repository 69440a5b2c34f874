"""The loop in virtual time: asyncio as ever, except for the waiting."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.faults.primitives import HostIdentity
from harness.sim.loop import SimLoop
from harness.sim.network.machine import Machine
from harness.sim.patching import RefusedError
from harness.sim.threads import VirtualTimeError


def on_loop[T](main: Callable[[], Awaitable[T]]) -> T:
    async def run() -> T:
        return await main()

    return SimLoop().run(run())


def now() -> float:
    return asyncio.get_running_loop().time()


# ---------------------------------------------------------------------- time


def test_years_pass_at_once() -> None:
    async def main() -> float:
        await asyncio.sleep(10 * 365 * 86400)
        return now()

    before = time.monotonic()  # noqa: TID251
    assert on_loop(main) == 10 * 365 * 86400
    assert time.monotonic() - before < 5  # noqa: TID251


@given(st.lists(st.integers(min_value=0, max_value=10**9), max_size=30, unique=True))
@settings(deadline=None, max_examples=50)
def test_timers_fire_at_their_times_in_order(delays_ms: list[int]) -> None:
    fired: list[tuple[float, float]] = []

    def note(delay_s: float) -> None:
        fired.append((now(), delay_s))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for delay_ms in delays_ms:
            delay_s = delay_ms / 1000
            loop.call_later(delay_s, note, delay_s)
        await asyncio.sleep(1e6 + 1)

    on_loop(main)
    assert fired == sorted((delay_ms / 1000, delay_ms / 1000) for delay_ms in delays_ms)


def test_no_time_passes_while_something_runs() -> None:
    async def main() -> float:
        for _ in range(1000):
            await asyncio.sleep(0)
        await asyncio.gather(*(asyncio.to_thread(pow, 2, 10) for _ in range(3)))
        return now()

    assert on_loop(main) == 0


def test_time_outs() -> None:
    async def main() -> list[float]:
        moments = []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.sleep(6)
        moments.append(now())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 2.5)
        moments.append(now())
        async with asyncio.timeout(1):
            await asyncio.sleep(0.5)
        moments.append(now())
        return moments

    assert on_loop(main) == [5, 7.5, 8]


def test_cancelled_timers_do_not_pile_up() -> None:
    """aiohttp sets one of 300 s for every request, and cancels it."""

    async def main() -> int:
        for _ in range(5000):
            async with asyncio.timeout(300):
                await asyncio.sleep(0.001)
        gc.collect()
        return sum(isinstance(each, asyncio.TimerHandle) for each in gc.get_objects())

    assert on_loop(main) < 1000


# ---------------------------------------------------------------------- what can never go on


def test_a_deadlock_names_who_waits() -> None:
    async def waits_for_ever() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(waits_for_ever(), name="the one")

    with pytest.raises(VirtualTimeError, match=r"deadlock at t=0.*the one \(.*waits_for_ever, line"):
        on_loop(main)


def test_a_livelock_is_found() -> None:
    async def main() -> None:
        await asyncio.sleep(3)
        while True:  # noqa: ASYNC110 (the mistake that is looked for)
            await asyncio.sleep(0)

    with pytest.raises(VirtualTimeError, match=r"livelock at t=3\.0"):
        on_loop(main)


# ---------------------------------------------------------------------- what reaches outside


def test_functions_for_threads_run_in_line_in_their_context() -> None:
    variable = contextvars.ContextVar("variable", default="unset")

    def fails() -> None:
        raise LookupError(variable.get())

    async def main() -> None:
        variable.set("set")
        with pytest.raises(LookupError, match=r"^set$"):
            await asyncio.to_thread(fails)
        assert await asyncio.get_running_loop().run_in_executor(None, sum, [1, 2]) == 3

    on_loop(main)


def test_what_is_not_simulated_is_refused() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(NotImplementedError):
            await asyncio.create_subprocess_exec("true")
        with pytest.raises(NotImplementedError):
            loop.add_signal_handler(signal.SIGTERM, print)
        with pytest.raises(RefusedError, match="use streams"):
            loop.add_reader(0, print)

    on_loop(main)


def test_the_end_cancels_what_is_left() -> None:
    ended: list[str] = []

    async def task() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append("task")

    async def generator() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(1)
            ended.append("generator")

    kept: list[object] = []

    async def main() -> None:
        kept.append(asyncio.ensure_future(task()))
        kept.append(generator())
        await anext(kept[-1])  # type: ignore[call-overload]
        await asyncio.sleep(0)

    loop = SimLoop()
    loop.run(main())
    assert ended == ["task", "generator"]
    assert loop.is_closed()


# ---------------------------------------------------------------------- SIGSTOP and SIGCONT


def _paused(
    main: Callable[[Callable[[str], None]], Awaitable[None]], pause_s: tuple[float, float]
) -> list[str]:
    """Run `main` on a machine that is stopped from the first to the second moment; what it noted, with times."""
    noted: list[str] = []

    async def harness() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        machine: Machine = loop.network.add_machine(HostIdentity("one", "one", "here"))

        async def process() -> None:
            await main(lambda what: noted.append(f"{now():g} {what}"))

        task = machine.start(process)
        await asyncio.sleep(pause_s[0])
        machine.pause()
        assert machine.state == "paused"
        await asyncio.sleep(pause_s[1] - pause_s[0])
        machine.resume()
        await task

    SimLoop().run(harness())
    return noted


def test_a_stopped_process_does_nothing_and_its_timers_fire_late_but_in_order() -> None:
    async def main(note: Callable[[str], None]) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(4, note, "four")
        loop.call_later(3, note, "three")
        loop.call_later(12, note, "twelve")
        cancelled = loop.call_later(5, note, "never")
        loop.call_later(1, cancelled.cancel)
        for _ in range(4):
            await asyncio.sleep(0.9)
            note("tick")
        await asyncio.sleep(20)

    assert _paused(main, (2, 10)) == [
        "0.9 tick",
        "1.8 tick",
        "10 three",
        "10 four",
        "10 tick",
        "10.9 tick",
        "12 twelve",
    ]


def test_what_was_ready_when_it_was_stopped_runs_when_it_goes_on() -> None:
    async def main(note: Callable[[str], None]) -> None:
        async def busy(name: str) -> None:
            for _ in range(2):
                await asyncio.sleep(1)
                note(name)

        await asyncio.gather(busy("a"), busy("b"))

    # Both are due at the very moment at which the process is stopped.
    noted = _paused(main, (1, 5))
    assert sorted(noted) in (["1 a", "1 b", "5 a", "5 b"], ["5 a", "5 b", "6 a", "6 b"])


def test_a_stopped_process_that_is_killed_never_goes_on() -> None:
    noted: list[float] = []

    async def process() -> None:
        while True:
            await asyncio.sleep(1)
            noted.append(now())

    async def harness() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        machine = loop.network.add_machine(HostIdentity("one", "one", "here"))
        machine.start(process)
        await asyncio.sleep(2.5)
        machine.pause()
        await asyncio.sleep(2)
        machine.kill()
        machine.resume()
        assert not machine.alive
        await asyncio.sleep(10)
        assert len(asyncio.all_tasks()) == 1

    SimLoop().run(harness())
    assert noted == [1, 2]
