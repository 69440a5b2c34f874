"""No toxic holds the loop: the API and other connections get their turns while toxics have work without end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from harness.toxiproxy.budget import LoopBudget
from harness.toxiproxy.toxics import Behaviour, Stage
from harness.toxiproxy.toxics.catalogue import TOXICS
from tests.toxiproxy.support import closed, eventually, on_loop, serving, through, upstream

MAX_API_S, MAX_OTHER_S = 0.1, 0.05
"""Processor time of the loop, which this test, the server and the upstreams share: a busy machine does not change it.
`tests/benchmarks/test_proxy_hold.py` checks the same bounds in real time."""
MAX_TURNS = 40
"""Of the loop, until the API or another proxy has answered: what is ready waits for nothing but its turns."""
CONNECTIONS = 5


@dataclass(frozen=True)
class Flood(Behaviour):
    """A toxic of a third party that never stops writing."""

    TYPE = "flood"

    async def pipe(self, stage: Stage) -> None:
        while not stage.interrupted:
            await stage.write(b"x")


@dataclass(frozen=True)
class DirectFlood(Flood):
    TYPE = "direct_flood"
    NEEDS_TASK: ClassVar[bool] = False


@dataclass(frozen=True)
class Spin(Behaviour):
    """Uses the interface without ever waiting for anything."""

    TYPE = "spin"
    NEEDS_TASK: ClassVar[bool] = False

    async def pipe(self, stage: Stage) -> None:
        while not stage.interrupted:
            await stage.wait_until(stage.now_s)
            await stage.write(b"")
            await stage.receive(0)


@dataclass(frozen=True)
class Stubborn(Behaviour):
    """Ignores that it is interrupted."""

    TYPE = "stubborn"

    async def pipe(self, stage: Stage) -> None:
        while True:
            await stage.write(b"")


@pytest.fixture(autouse=True)
def third_party(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (Flood, DirectFlood, Spin, Stubborn):
        monkeypatch.setitem(TOXICS, kind.TYPE, kind)


async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send and read without end."""

    async def read() -> None:
        while await reader.read(1 << 16):
            pass

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            while True:
                writer.write(bytes(1 << 16))
                await writer.drain()
    except* ConnectionError:
        pass
    finally:
        writer.transport.abort()  # what is still buffered would wait for a reader that is gone


@contextlib.asynccontextmanager
async def streaming(listen: str) -> AsyncIterator[None]:
    """Connections that stream both ways."""
    host, port = listen.rsplit(":", 1)
    streams = [await asyncio.open_connection(host, int(port)) for _ in range(CONNECTIONS)]
    tasks = [asyncio.create_task(pour(*each)) for each in streams]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _, writer in streams:
            await closed(writer)


@contextlib.contextmanager
def counting_turns() -> Iterator[Callable[[], int]]:
    """The number of turns that the loop has made."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(count())
    try:
        yield lambda: turns
    finally:
        task.cancel()


async def slowest(work: Callable[[], Awaitable[object]], rounds: int = 10) -> tuple[float, int]:
    """The most processor time and the most turns of the loop that it took."""
    used_s, used_turns = [], []
    with counting_turns() as turns:
        for _ in range(rounds):
            start_s, start = time.thread_time(), turns()
            await work()
            used_s.append(time.thread_time() - start_s)
            used_turns.append(turns() - start)
            await asyncio.sleep(0.005)
    return max(used_s), max(used_turns)


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("slicer", {"average_size": 1}),
        ("slicer", {"average_size": 64, "size_variation": 32}),
        ("slicer", {"average_size": 1, "delay": 1}),
        ("bandwidth", {"rate": 1_000_000_000}),
        ("latency", {"latency": 1, "jitter": 1}),
        ("flood", {}),
        ("direct_flood", {}),
        ("spin", {}),
    ],
)
@on_loop
async def test_the_api_and_other_connections_get_their_turns(kind: str, attributes: dict[str, Any]) -> None:
    async with serving() as api, through(api) as other:

        async def ask_other() -> None:
            other[1].write(b"hello")
            await other[0].readexactly(5)

        async def ask_api() -> None:
            assert (await api.call("GET", "/version")).status == 200

        async with upstream(pour) as address:
            listen = (await api.proxy(address, name="busy")).json["listen"]
            for stream in ("upstream", "downstream"):
                await api.toxic(kind, stream, "busy", **attributes)
            async with streaming(listen):
                await asyncio.sleep(0.1)
                for ask, limit_s in ((ask_api, MAX_API_S), (ask_other, MAX_OTHER_S)):
                    used_s, turns = await slowest(ask)
                    assert used_s < limit_s
                    assert turns <= MAX_TURNS
                used_s, _ = await slowest(lambda: api.untoxic(f"{kind}_upstream", "busy"), rounds=1)
                assert used_s < MAX_API_S


@on_loop
async def test_a_toxic_that_ignores_its_interruption_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as api, through(api) as (reader, _):
        await eventually(lambda: api.server.statistics.connections == 1)
        await api.toxic("stubborn")
        await api.untoxic("stubborn_downstream")
        assert await reader.read() == b""
    assert "does not return when it is interrupted" in caplog.text


@dataclass
class Manual:
    now_s: float = 0.0

    def time(self) -> float:
        return self.now_s

    def call_at(self, when: float, callback: Any) -> Any:
        raise NotImplementedError


def test_the_share_of_a_turn_shrinks_with_the_number_of_toxics_that_have_work() -> None:
    clock = Manual()
    budget = LoopBudget(clock)

    def operations() -> int:
        share = budget.share()
        share.begin()
        count = 1
        while not share.spend():
            clock.now_s += 10e-6
            count += 1
        return count

    alone = operations()
    budget.yielding = 9
    assert operations() <= alone / 5
    budget.yielding = 1_000_000
    assert operations() < 12  # and yet everybody does something


def test_operations_count_where_the_clock_stands_still() -> None:
    share = LoopBudget(Manual()).share()
    assert any(share.spend() for _ in range(1000))
