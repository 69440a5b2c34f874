"""The exact times of every toxic, in virtual time: chains of toxics between a sender and a receiver, no sockets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from harness.sim.loop import SimLoop
from harness.toxiproxy.chunk import Chunk, End
from harness.toxiproxy.rate_limiter import RateLimiters
from harness.toxiproxy.stage_runner import StageRunner
from harness.toxiproxy.toxic import Direction, Toxic
from harness.toxiproxy.toxics.bandwidth import Bandwidth
from harness.toxiproxy.toxics.base import Behaviour
from harness.toxiproxy.toxics.latency import Latency
from harness.toxiproxy.toxics.limit_data import LimitData
from harness.toxiproxy.toxics.reset_peer import ResetPeer
from harness.toxiproxy.toxics.slicer import Slicer
from harness.toxiproxy.toxics.slow_close import SlowClose
from harness.toxiproxy.toxics.timeout import Timeout
from tests.toxiproxy.support import context


@dataclass
class Receiver:
    """Takes everything, and notes when. `open` lets it be slow."""

    got: list[tuple[float, Any]] = field(default_factory=list)
    full: bool = False
    room: Callable[[], object] = lambda: None

    def put(self, item: Chunk | End) -> None:
        at_s = round(asyncio.get_running_loop().time() - self.start_s, 6)
        self.got.append((at_s, item.data if isinstance(item, Chunk) else item))

    def when_room(self, call: Callable[[], object]) -> None:
        self.room = call

    def __post_init__(self) -> None:
        self.start_s = asyncio.get_running_loop().time()

    @property
    def data(self) -> bytes:
        return b"".join(item for _, item in self.got if isinstance(item, bytes))

    @property
    def sizes(self) -> list[tuple[float, int]]:
        return [(at_s, len(item)) for at_s, item in self.got if isinstance(item, bytes)]


class Chain:
    """Toxics in a row; the first is where to put, the last writes to the receiver."""

    def __init__(self, *behaviours: Behaviour, rate_limiters: RateLimiters | None = None) -> None:
        self.receiver = Receiver()
        self.stages: list[StageRunner] = []
        following: Any = self.receiver
        loop = asyncio.get_running_loop()
        for behaviour in reversed(behaviours):
            following = StageRunner(
                context(loop, rate_limiters),
                Toxic("t", "upstream", Direction.UPSTREAM, behaviour, 1.0, 0),
                following,
                random.Random(1),
                on_gone=lambda _: None,
                on_failure=lambda: None,
            )
            self.stages.insert(0, following)

    def put(self, data: bytes | End) -> None:
        now_s = asyncio.get_running_loop().time()
        self.stages[0].put(data if isinstance(data, End) else Chunk(data, now_s))

    def change(self, **attributes: int) -> None:
        toxic: Any = self.stages[0].toxic
        toxic.behaviour = replace(toxic.behaviour, **attributes)
        self.stages[0].interrupt()


def in_virtual_time(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        SimLoop().run(test())

    return run


@in_virtual_time
async def test_latency_is_counted_from_the_arrival_and_adds_up_without_drift() -> None:
    chain = Chain(Latency(latency=100), Latency(latency=50))
    chain.put(b"a")
    await asyncio.sleep(0.03)
    chain.put(b"b")
    chain.put(End.EOF)
    await asyncio.sleep(1)
    assert chain.receiver.got == [(0.15, b"a"), (0.18, b"b"), (0.18, End.EOF)]


@in_virtual_time
async def test_latency_behind_a_slow_receiver_does_not_begin_again() -> None:
    chain = Chain(Latency(latency=100), Latency(latency=100))
    chain.receiver.full = True
    for item in (b"a", b"b"):
        chain.put(item)
    await asyncio.sleep(0.5)
    assert chain.receiver.got == [(0.2, b"a")]
    chain.receiver.full = False
    chain.receiver.room()
    await asyncio.sleep(0.5)
    assert chain.receiver.got == [(0.2, b"a"), (0.5, b"b")]


@in_virtual_time
async def test_jitter_is_whole_milliseconds_within_its_bounds_and_never_reorders() -> None:
    chain = Chain(Latency(latency=10, jitter=30))
    for number in range(200):
        chain.put(bytes([number]))
        await asyncio.sleep(0.1)
    delays = [at_s - number * 0.1 for number, (at_s, _) in enumerate(chain.receiver.got)]
    assert chain.receiver.data == bytes(range(200))
    assert all(delay + 1e-6 >= 0 and delay < 0.04 for delay in delays)
    assert any(delay < 0.001 for delay in delays)  # below zero is none
    assert any(delay > 0.035 for delay in delays)
    assert all(abs(delay * 1000 - round(delay * 1000)) < 0.01 for delay in delays)


@in_virtual_time
async def test_microseconds_are_added_to_milliseconds() -> None:
    chain = Chain(Latency(latency=1, latency_us=234), Latency(latency_us=50))
    chain.put(b"a")
    await asyncio.sleep(1)
    assert chain.receiver.got == [(0.001284, b"a")]
    chain = Chain(Latency(latency_us=500, jitter_us=500))
    for _ in range(300):
        chain.put(b"a")
        await asyncio.sleep(0.01)
    delays_us = [round(at_s * 1e6) % 10_000 for at_s, _ in chain.receiver.got]
    assert 0 <= min(delays_us) < 30
    assert 970 < max(delays_us) < 1000
    assert any(delay % 1000 not in {0, 500} for delay in delays_us)


@in_virtual_time
async def test_latency_changed_while_a_chunk_waits() -> None:
    chain = Chain(Latency(latency=10_000))
    chain.put(b"a")
    await asyncio.sleep(0.05)
    chain.change(latency=80)
    await asyncio.sleep(1)
    assert chain.receiver.got == [(0.08, b"a")]


@in_virtual_time
async def test_bandwidth_sends_slices_of_100_ms() -> None:
    chain = Chain(Bandwidth(rate=100))
    chain.put(bytes(25_000))
    chain.put(bytes(5_000))
    chain.put(End.EOF)
    await asyncio.sleep(2)
    assert chain.receiver.sizes == [(0.1, 10_000), (0.2, 10_000), (0.25, 5_000), (0.3, 5_000)]
    assert chain.receiver.got[-1] == (0.3, End.EOF)


PIECE = 1500
"""What is sent at once on a shared line of 100 KB/s."""


@in_virtual_time
async def test_a_group_shares_its_rate_in_turns() -> None:
    rate_limiters = RateLimiters()
    chains = [Chain(Bandwidth(rate=100, group="g"), rate_limiters=rate_limiters) for _ in range(3)]
    for chain in chains:
        chain.put(bytes(30_000))
    await asyncio.sleep(0.301)
    sizes = [len(chain.receiver.data) for chain in chains]
    assert sum(sizes) == 30_000
    assert max(sizes) - min(sizes) <= PIECE
    chains[0].change(rate=0)
    await asyncio.sleep(0.3)
    for chain in chains[1:]:
        assert len(chain.receiver.data) == pytest.approx(10_000 + 15_000, abs=PIECE)
    # 20 KB each after the change, and the one piece that the first had reserved.
    await asyncio.sleep(0.1 + 2 * PIECE / 100_000)
    assert [len(chain.receiver.data) for chain in chains[1:]] == [30_000, 30_000]


@in_virtual_time
async def test_a_line_of_a_group_that_was_idle_begins_anew() -> None:
    rate_limiters = RateLimiters()
    one, two = (Chain(Bandwidth(rate=100, group="g"), rate_limiters=rate_limiters) for _ in range(2))
    one.put(bytes(1000))
    await asyncio.sleep(1)
    two.put(bytes(1000))
    one.put(bytes(1000))
    await asyncio.sleep(1)
    assert one.receiver.sizes == [(0.01, 1000), (1.02, 1000)]
    assert two.receiver.sizes == [(1.01, 1000)]


@in_virtual_time
async def test_bandwidth_saves_nothing_up_and_makes_nothing_up() -> None:
    chain = Chain(Bandwidth(rate=100))
    await asyncio.sleep(5)
    chain.put(bytes(5_000))
    await asyncio.sleep(1)
    assert chain.receiver.sizes == [(5.05, 5_000)]
    chain.change(rate=0)
    chain.put(bytes(30_000))
    await asyncio.sleep(10)
    assert len(chain.receiver.sizes) == 1
    chain.change(rate=100)
    await asyncio.sleep(10)
    last_s = chain.receiver.sizes[-1][0]
    assert 16.2 - 0.001 <= last_s <= 16.3  # a slice may be made up for, ten seconds may not


@in_virtual_time
async def test_bandwidth_keeps_its_pace_through_many_empty_updates() -> None:
    chain = Chain(Bandwidth(rate=100))
    chain.put(bytes(50_000))
    for _ in range(100):
        await asyncio.sleep(0.01)
        chain.change()
    due_s = [round(at_s, 3) for at_s, _ in chain.receiver.sizes]
    assert due_s == [0.1, 0.2, 0.3, 0.4, 0.5]


@in_virtual_time
async def test_slow_close_counts_from_the_last_data_and_through_updates() -> None:
    chain = Chain(SlowClose(delay=400))
    chain.put(b"a")
    chain.put(End.RESET)
    await asyncio.sleep(0.1)
    chain.change()
    await asyncio.sleep(1)
    assert chain.receiver.got == [(0.0, b"a"), (0.4, End.RESET)]


@pytest.mark.parametrize("ends", [False, True])
def test_timeout_begins_again_with_every_chunk_and_the_end_closes_at_once(ends: bool) -> None:
    async def main() -> None:
        chain = Chain(Timeout(timeout=100))
        for _ in range(3):
            await asyncio.sleep(0.09)
            chain.put(b"lost")
        await asyncio.sleep(0.05)
        if ends:
            chain.put(End.EOF)
        await asyncio.sleep(1)
        assert chain.receiver.got == [(0.32 if ends else 0.37, End.CLOSE)]

    SimLoop().run(main())


@pytest.mark.parametrize("ends", [False, True])
def test_timeout_zero_swallows_for_ever_and_closes_when_the_source_ends_or_it_is_removed(ends: bool) -> None:
    async def main() -> None:
        chain = Chain(Timeout())
        chain.put(b"lost")
        await asyncio.sleep(100_000)
        assert chain.receiver.got == []
        if ends:
            chain.put(End.EOF)
        else:
            chain.stages[0].leave()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert chain.receiver.got == [(100_000.0, End.CLOSE)]

    SimLoop().run(main())


@pytest.mark.parametrize("behaviour", [Timeout(), Timeout(timeout=60_000), Bandwidth()])
def test_what_never_passes_anything_on_closes_when_the_other_direction_is_finished(
    behaviour: Behaviour,
) -> None:
    async def main() -> None:
        chain = Chain(behaviour)
        chain.put(b"held")
        await asyncio.sleep(1)
        assert chain.receiver.got == []
        chain.stages[0].abandon()
        await asyncio.sleep(0)
        assert chain.receiver.got == [(1.0, End.CLOSE)]

    SimLoop().run(main())


@pytest.mark.parametrize("behaviour", [Latency(latency=2000), Bandwidth(rate=1), ResetPeer(timeout=2000)])
def test_what_passes_something_on_later_goes_on_when_the_other_direction_is_finished(
    behaviour: Behaviour,
) -> None:
    async def main() -> None:
        chain = Chain(behaviour)
        chain.put(b"held" * 500)
        await asyncio.sleep(1)
        chain.stages[0].abandon()
        await asyncio.sleep(0)
        assert End.CLOSE not in [item for _, item in chain.receiver.got]

    SimLoop().run(main())


@pytest.mark.parametrize("end", [End.CLOSE, End.RESET, End.EOF])
def test_nothing_passes_behind_an_end(end: End) -> None:
    async def main() -> None:
        chain = Chain(Latency(latency=100))
        chain.put(b"before")
        chain.put(end)
        chain.put(b"behind")
        chain.put(End.EOF)
        await asyncio.sleep(1)
        assert [item for _, item in chain.receiver.got] == [b"before", end]

    SimLoop().run(main())


@in_virtual_time
async def test_reset_peer_waits_once_from_the_first_data() -> None:
    chain = Chain(ResetPeer(timeout=300))
    await asyncio.sleep(1)
    chain.put(b"a")
    await asyncio.sleep(0.2)
    chain.put(b"b")
    chain.change()
    await asyncio.sleep(1)
    assert chain.receiver.got == [(1.3, End.RESET)]


@in_virtual_time
async def test_slices_are_their_delay_apart() -> None:
    chain = Chain(Slicer(average_size=10, delay=500))
    chain.put(bytes(40))
    chain.put(bytes(10))
    await asyncio.sleep(1)
    assert chain.receiver.sizes == [(0.0, 10), (0.0005, 10), (0.001, 10), (0.0015, 10), (0.002, 10)]


@in_virtual_time
async def test_a_limit_lowered_below_what_has_passed_lets_nothing_more_through() -> None:
    chain = Chain(LimitData(bytes=100))
    chain.put(bytes(60))
    await asyncio.sleep(1)
    chain.change(bytes=10)
    chain.put(bytes(1000))
    await asyncio.sleep(1)
    assert chain.receiver.got == [(0.0, bytes(60)), (1.0, End.CLOSE)]
