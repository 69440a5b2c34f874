from __future__ import annotations

import asyncio

from tests.toxiproxy.support import Sink, eventually, now, on_loop, serving, through

LATE_S = 0.15


@on_loop
async def test_a_kilobyte_is_a_thousand_bytes_and_slices_last_100_ms() -> None:
    sink = Sink()
    async with serving() as api, through(api, sink) as (_, writer):
        await api.toxic("bandwidth", "upstream", rate=100)
        start_s = now()
        writer.write(bytes(40_000))
        await eventually(lambda: len(sink.data) == 40_000)
        assert 0.4 <= now() - start_s < 0.4 + LATE_S
        assert all(len(data) <= 20_000 for _, data in sink.chunks)  # two slices at most, if a timer was late
        assert len(sink.chunks) >= 3
        assert sink.chunks[0][0] - start_s >= 0.1  # nothing comes for free at the beginning


@on_loop
async def test_many_small_chunks_are_as_slow_as_one() -> None:
    sink = Sink()
    async with serving() as api, through(api, sink) as (_, writer):
        await api.toxic("bandwidth", "upstream", rate=1000)
        start_s = now()
        for _ in range(300):
            writer.write(bytes(1000))
            await writer.drain()
        await eventually(lambda: len(sink.data) == 300_000)
        assert 0.3 <= now() - start_s < 0.3 + LATE_S


@on_loop
async def test_idle_time_is_not_saved_up() -> None:
    sink = Sink()
    async with serving() as api, through(api, sink) as (_, writer):
        await api.toxic("bandwidth", "upstream", rate=100)
        await asyncio.sleep(0.25)
        start_s = now()
        writer.write(bytes(20_000))
        await eventually(lambda: len(sink.data) == 20_000)
        assert 0.2 <= now() - start_s < 0.2 + LATE_S


@on_loop
async def test_zero_lets_nothing_through_until_it_is_changed() -> None:
    sink = Sink()
    async with serving() as api, through(api, sink) as (_, writer):
        await api.toxic("bandwidth", "upstream")
        writer.write(b"hello")
        await asyncio.sleep(0.05)
        assert not sink.chunks
        await api.call("PATCH", "/proxies/p/toxics/bandwidth_upstream", {"attributes": {"rate": 1000}})
        await eventually(lambda: sink.data == b"hello")


@on_loop
async def test_removing_it_lets_go_the_rest_at_once() -> None:
    sink = Sink()
    async with serving() as api, through(api, sink) as (_, writer):
        await api.toxic("bandwidth", "upstream", rate=1)
        writer.write(bytes(range(256)) * 400)
        await asyncio.sleep(0.05)
        await api.untoxic("bandwidth_upstream")
        await eventually(lambda: len(sink.data) == 102_400)
        assert sink.data == bytes(range(256)) * 400


@on_loop
async def test_the_sender_is_held_back() -> None:
    async with serving() as api, through(api, Sink()) as (_, writer):
        await api.toxic("bandwidth", "upstream", rate=1)
        writer.write(bytes(32 << 20))
        before = -1
        while before != (left := writer.transport.get_write_buffer_size()):
            before = left
            await asyncio.sleep(0.05)
        assert left > 8 << 20  # neither the proxy nor the kernel have taken it all
        writer.transport.abort()
