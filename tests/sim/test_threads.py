"""Threads of services: real ones, in virtual time, in an order that does not depend on how long they take."""

from __future__ import annotations

import asyncio
import queue
import random
import select
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from aiohttp import web

from harness.sim import threads
from harness.sim.patching import RefusedError
from harness.sim.threads import ThreadError, VirtualTimeError
from harness.system import Host
from tests.sim.support import Outcome, application, call, saw

_noise = random.SystemRandom()

SHARED = ThreadPoolExecutor(2)
"""Made when the module is imported, as a service's own often is."""


def _work(number: int) -> str:
    """Takes a different real time each time."""
    select.select([], [], [], _noise.choice((0.0, 0.002, 0.004)))
    return f"{number} in {threading.current_thread() is not threading.main_thread()}"


def same(life: Callable[[Host], Awaitable[None]], **services: Callable[[Host], Awaitable[None]]) -> Outcome:
    outcomes = [call(life, services or None) for _ in range(3)]
    assert {outcome.digest for outcome in outcomes} == {outcomes[0].digest}
    assert not threads.Threads.current
    return outcomes[0]


async def _to_thread(_: Host, number: int) -> str:
    return await asyncio.to_thread(_work, number)


async def _executor(_: Host, number: int) -> str:
    return await asyncio.get_running_loop().run_in_executor(SHARED, _work, number)


async def _wrapped(_: Host, number: int) -> str:
    return await asyncio.wrap_future(SHARED.submit(_work, number))


async def _own_executor(_: Host, number: int) -> str:
    with ThreadPoolExecutor(1) as executor:
        return await asyncio.wrap_future(executor.submit(_work, number))


async def _call_back(_: Host, number: int) -> str:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(done.set_result, _work(number)))
    thread.start()
    result: str = await done
    thread.join()
    return result


@pytest.mark.parametrize("way", [_to_thread, _executor, _wrapped, _own_executor, _call_back])
def test_time_stands_still_and_the_order_is_always_the_same(
    way: Callable[[Host, int], Awaitable[str]],
) -> None:
    async def life(host: Host) -> None:
        async def tick() -> None:
            while True:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

        async def one(number: int) -> None:
            saw(host, await way(host, number))

        ticking, start_s = asyncio.create_task(tick()), host.clock.now()
        await asyncio.gather(*(one(number) for number in range(8)))
        ticking.cancel()
        saw(host, host.clock.now() - start_s)

    outcome = same(life)
    assert outcome.seen == [*(f"{number} in True" for number in range(8)), "0.0"]
    assert not outcome.failures


def test_sleep_in_a_thread_takes_virtual_time_and_holds_a_worker() -> None:
    async def life(host: Host) -> None:
        start_s, loop = host.clock.now(), asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(SHARED, time.sleep, 30) for _ in range(4)))  # noqa: TID251
        saw(host, round(host.clock.now() - start_s, 6))

    assert same(life).seen == ["60.0"]


def test_a_thread_of_its_own_consumes_a_queue() -> None:
    async def service(host: Host) -> None:
        inbox: queue.Queue[tuple[str, asyncio.Future[str]] | None] = queue.Queue()
        loop = asyncio.get_running_loop()

        def consume() -> None:
            while (item := inbox.get()) is not None:
                time.sleep(0.25)  # noqa: TID251
                loop.call_soon_threadsafe(item[1].set_result, item[0].upper())

        threading.Thread(target=consume).start()

        async def answer(request: web.Request) -> web.Response:
            done: asyncio.Future[str] = loop.create_future()
            inbox.put((request.path, done))
            return web.Response(text=await done)

        await host.serve(application(answer))

    async def life(host: Host) -> None:
        start_s = host.clock.now()
        for path in ("/a", "/b"):
            async with host.http("service").get(path) as answer:
                saw(host, await answer.text())
        assert 0.5 < host.clock.now() - start_s < 0.6  # and three round trips of 20 ms

    outcome = same(life, service=service)
    assert outcome.seen == ["/A", "/B"]
    assert not outcome.failures


def test_timeouts_of_threads_are_virtual() -> None:
    def waits() -> str:
        start_s = time.monotonic()  # noqa: TID251
        with pytest.raises(queue.Empty):
            queue.Queue[int]().get(timeout=100)
        assert not threading.Event().wait(50)
        return f"{time.monotonic() - start_s:.3f}"  # noqa: TID251

    async def life(host: Host) -> None:
        saw(host, await asyncio.to_thread(waits))

    assert same(life).seen == ["150.000"]


def test_threads_wait_for_each_other() -> None:
    async def life(host: Host) -> None:
        box: queue.Queue[int] = queue.Queue()
        with ThreadPoolExecutor(2) as executor:
            taken = executor.submit(box.get)
            executor.submit(box.put, 7)
            assert taken.result() == 7  # also in the loop: no time passes
            saw(host, await asyncio.wrap_future(executor.submit(lambda: executor.submit(int, "8").result())))

    outcome = same(life)
    assert outcome.seen == ["8"]
    assert not outcome.failures


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_threads_share_a_lock(kind: str) -> None:
    """The one that waits for it gives way, so that the one that has it goes on."""

    async def life(host: Host) -> None:
        lock = getattr(threading, kind)()
        inside: list[int] = []

        def work(number: int) -> None:
            with lock:
                inside.append(number)
                time.sleep(1)  # noqa: TID251
                assert inside[-1] == number

        start_s = host.clock.now()
        await asyncio.gather(*(asyncio.to_thread(work, number) for number in range(5)))
        saw(host, (inside, round(host.clock.now() - start_s, 6)))
        assert lock.acquire()
        assert await asyncio.to_thread(lock.acquire, timeout=3) is False
        lock.release()
        saw(host, round(host.clock.now() - start_s, 6))

    outcome = same(life)
    assert outcome.seen == ["([0, 1, 2, 3, 4], 5.0)", "8.0"]
    assert not outcome.failures


# ---------------------------------------------------------------------- what cannot be


def _ask_the_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.run_coroutine_threadsafe(asyncio.sleep(1), loop).result(30)


def _wait_for_an_event(_: asyncio.AbstractEventLoop) -> None:
    threading.Event().wait()


@pytest.mark.parametrize("work", [_ask_the_loop, _wait_for_an_event])
def test_awaited_work_that_waits_for_the_loop_is_an_error(work: Callable[..., None]) -> None:
    async def life(host: Host) -> None:
        with pytest.raises(ThreadError, match=f"of caller waits for the loop.*{work.__name__}"):
            await asyncio.to_thread(work, asyncio.get_running_loop())
        saw(host, host.clock.now())

    outcome = same(life)
    assert outcome.seen == ["0.0"]
    (failure,) = outcome.failures
    assert failure.host == "caller"
    assert f"test_threads.py:{work.__code__.co_firstlineno + 1}, in {work.__name__}" in failure.error


def test_the_loop_must_not_wait_for_a_thread_that_sleeps() -> None:
    async def life(host: Host) -> None:
        future: Future[None] = SHARED.submit(time.sleep, 1)  # noqa: TID251
        with pytest.raises(RefusedError, match="is not simulated"):
            future.result()
        saw(host, "refused")

    outcome = same(life)
    assert outcome.seen == ["refused"]
    assert "test_threads.py" in outcome.failures[0].error


def test_a_thread_that_never_gives_way_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "BLOCK_S", 0.3)
    stuck = threading.Lock()
    stuck.acquire()

    async def life(_: Host) -> None:
        await asyncio.to_thread(stuck.acquire)

    with pytest.raises(VirtualTimeError, match=r"caller has blocked the loop for 0\.3 s.*thread"):
        call(life)
    stuck.release()


def test_threads_of_a_dead_process_end() -> None:
    ended: list[str] = []

    async def service(host: Host) -> None:
        def background() -> None:
            try:
                while True:
                    time.sleep(1)  # noqa: TID251
            finally:
                ended.append(host.name)

        threading.Thread(target=background, name="background").start()
        await host.serve(web.Application())

    async def life(host: Host) -> None:
        await host.clock.sleep(3)

    same(life, one=service, two=service)
    assert sorted(ended) == ["one"] * 3 + ["two"] * 3
    assert not [thread for thread in threading.enumerate() if thread.name == "background"]


def test_threads_outside_of_a_run_are_left_alone() -> None:
    box: queue.SimpleQueue[bool] = queue.SimpleQueue()

    async def life(_: Host) -> None:
        await asyncio.sleep(1)

    waiting = threading.Thread(target=lambda: box.put(threading.Event().wait(0.05)))
    waiting.start()
    call(life)
    waiting.join()
    assert box.get() is False
    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(int, "3").result() == 3
