from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.toxiproxy.toxics.slicer import Slicer
from tests.toxiproxy.support import Sink, eventually, now, on_loop, serving, through


@given(st.integers(1, 5000), st.data(), st.integers(1, 200_000), st.integers(0, 10))
@settings(deadline=None)
def test_sizes_add_up_and_none_is_empty(average: int, data: st.DataObject, total: int, seed: int) -> None:
    variation = data.draw(st.integers(0, average))
    slicer = Slicer(average_size=average, size_variation=variation)
    sizes = list(slicer.sizes(total, random.Random(seed)))
    assert sum(sizes) == total
    assert all(0 < size <= average + variation for size in sizes)
    assert sizes == list(slicer.sizes(total, random.Random(seed)))


def test_sizes_are_about_the_average() -> None:
    sizes = list(Slicer(average_size=64, size_variation=32).sizes(65536, random.Random(1)))
    assert 48 < sum(sizes) / len(sizes) < 96
    assert len(set(sizes)) > 10


@on_loop
async def test_data_arrives_in_pieces_unchanged() -> None:
    sink = Sink()
    data = random.Random(1).randbytes(4000)
    async with serving() as api, through(api, sink) as (_, writer):
        await api.toxic("slicer", "upstream", average_size=500, size_variation=100, delay=10_000)
        start_s = now()
        writer.write(data)
        writer.write_eof()
        await sink.ended.wait()
        assert sink.data == data
        assert 4 <= len(sink.chunks) <= 10
        assert 0.05 <= now() - start_s < 0.3


@on_loop
async def test_removal_in_the_middle_loses_nothing() -> None:
    sink = Sink()
    data = random.Random(2).randbytes(30_000)
    async with serving() as api, through(api, sink) as (_, writer):
        await api.toxic("slicer", "upstream", average_size=100, delay=5000)
        writer.write(data)
        await eventually(lambda: len(sink.data) > 300)
        await api.call("PATCH", "/proxies/p/toxics/slicer_upstream", {"attributes": {"average_size": 50}})
        await eventually(lambda: len(sink.data) > 600)
        await api.untoxic("slicer_upstream")
        await eventually(lambda: len(sink.data) == len(data))
        assert sink.data == data


@on_loop
async def test_pieces_without_delay_are_not_slow() -> None:
    sink = Sink()
    async with serving() as api, through(api, sink) as (_, writer):
        await api.toxic("slicer", "upstream", average_size=64, size_variation=32, delay=10)
        start_s = now()
        writer.write(bytes(100_000))
        await eventually(lambda: len(sink.data) == 100_000)
        assert now() - start_s < 1.0  # 1500 timers of a whole millisecond would be more
