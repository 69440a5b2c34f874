from __future__ import annotations

import asyncio
import statistics
from typing import Any

from tests.toxiproxy.support import (
    Sink,
    Streams,
    connected,
    echo,
    eventually,
    now,
    on_loop,
    serving,
    talk,
    through,
    upstream,
)

LATE_S = 0.15
"""How late a timer may be on a busy machine; it may never be early."""


async def round_trip_s(streams: Streams) -> float:
    start_s = now()
    assert await talk(streams) == b"hello"
    return now() - start_s


@on_loop
async def test_each_direction_alone_and_both_together() -> None:
    async with serving() as api, through(api) as streams:
        for upstream_ms, downstream_ms in ((40, 0), (0, 40), (40, 40)):
            await api.call("POST", "/reset")
            if upstream_ms:
                await api.toxic("latency", "upstream", latency=upstream_ms)
            if downstream_ms:
                await api.toxic("latency", latency=downstream_ms)
            expected_s = (upstream_ms + downstream_ms) / 1000
            assert expected_s <= await round_trip_s(streams) < expected_s + LATE_S


@on_loop
async def test_zero_delays_nothing_and_connecting_is_never_delayed() -> None:
    async with serving() as api, upstream(echo) as address:
        listen = (await api.proxy(address)).json["listen"]
        await api.toxic("latency", "upstream", latency=5000)
        start_s = now()
        async with connected(listen):
            assert now() - start_s < LATE_S
        await api.call("PATCH", "/proxies/p/toxics/latency_upstream", {"attributes": {"latency": 0}})
        async with connected(listen) as streams:
            assert await round_trip_s(streams) < LATE_S


@on_loop
async def test_two_add_up_without_drift() -> None:
    sink = Sink()
    async with serving() as api, through(api, sink) as (_, writer):
        for name in ("a", "b"):
            body = {"type": "latency", "name": name, "stream": "upstream", "attributes": {"latency": 60}}
            await api.call("POST", "/proxies/p/toxics", body)
        start_s = now()
        writer.write(b"x")
        await eventually(lambda: bool(sink.chunks))
        assert 0.12 <= sink.chunks[0][0] - start_s < 0.12 + LATE_S


@on_loop
async def test_chunks_are_on_the_way_together_and_keep_their_distance_and_order() -> None:
    sink = Sink()
    async with serving() as api, through(api, sink) as (_, writer):
        await api.toxic("latency", "upstream", latency=100)
        start_s = now()
        sent_s = []
        for number in range(5):
            sent_s.append(now())
            writer.write(b"%d" % number)
            await asyncio.sleep(0.03)
        await eventually(lambda: len(sink.data) == 5)
        assert sink.data == b"01234"
        assert now() - start_s < 5 * 0.1  # not one after the other
        if len(sink.chunks) == 5:
            for (arrived_s, _), begun_s in zip(sink.chunks, sent_s, strict=True):
                assert 0.1 <= arrived_s - begun_s < 0.1 + LATE_S


@on_loop
async def test_jitter_spreads_the_delay_and_is_the_same_for_a_seed() -> None:
    async def delays(seed: int) -> list[float]:
        async with serving(seed=seed) as api, through(api) as streams:
            await api.toxic("latency", latency=20, jitter=20)
            return [await round_trip_s(streams) for _ in range(8)]

    first, again, other = await delays(1), await delays(1), await delays(2)
    assert statistics.pstdev(first) > 0.003
    assert all(delay < 0.04 + LATE_S for delay in first)
    same = statistics.median(abs(a - b) for a, b in zip(first, again, strict=True))
    different = statistics.median(abs(a - b) for a, b in zip(first, other, strict=True))
    assert same < different


@on_loop
async def test_removing_it_lets_go_what_waits_data_and_end() -> None:
    sink = Sink()
    async with serving() as api, through(api, sink) as (_, writer):
        await api.toxic("latency", "upstream", latency=10**9)  # 11 days: nothing passes
        for part in (b"a" * 40_000, b"b", b"c"):
            writer.write(part)
            await asyncio.sleep(0.01)
        writer.write_eof()
        await asyncio.sleep(0.03)
        assert not sink.chunks
        assert not sink.ended.is_set()
        await api.untoxic("latency_upstream")
        await sink.ended.wait()
        assert sink.data == b"a" * 40_000 + b"bc"


@on_loop
async def test_the_end_alone_is_on_its_way_as_long_as_data() -> None:
    sink = Sink()
    async with serving() as api, through(api, sink) as (_, writer):
        await api.toxic("latency", "upstream", latency=60)
        start_s = now()
        writer.write_eof()
        await sink.ended.wait()
        assert 0.06 <= now() - start_s < 0.06 + LATE_S


@on_loop
async def test_an_update_times_anew_what_waits_from_its_arrival() -> None:
    sink = Sink()
    async with serving() as api, through(api, sink) as (_, writer):
        await api.toxic("latency", "upstream", latency=60_000)
        start_s = now()
        writer.write(b"x")
        await asyncio.sleep(0.05)
        await api.call("PATCH", "/proxies/p/toxics/latency_upstream", {"attributes": {"latency": 100}})
        await eventually(lambda: bool(sink.chunks))
        assert 0.1 <= sink.chunks[0][0] - start_s < 0.1 + LATE_S


@on_loop
async def test_microseconds_are_added_to_milliseconds_and_shown_where_they_are_set() -> None:
    async with serving() as api, through(api) as streams:
        added = await api.toxic("latency", latency=20, latency_us=15_400)
        assert added.json["attributes"] == {"latency": 20, "jitter": 0, "latency_us": 15_400}
        for _ in range(3):
            assert 0.0354 <= await round_trip_s(streams) < 0.0354 + LATE_S


@on_loop
async def test_it_does_not_limit_the_rate() -> None:
    """What is on the way is kept, not held back: 16 MB take about as long as without, and the latency once."""
    took_s = {}
    for kind in ("noop", "latency"):
        sink = Sink()
        async with serving() as api, through(api, sink) as (_, writer):
            attributes: dict[str, Any] = {"latency": 100} if kind == "latency" else {}
            await api.toxic(kind, "upstream", **attributes)
            start_s = now()
            writer.write(bytes(16 << 20))
            writer.write_eof()
            await sink.ended.wait()
            took_s[kind] = now() - start_s
            assert len(sink.data) == 16 << 20
    assert 0.1 <= took_s["latency"] < 0.1 + 4 * took_s["noop"] + LATE_S
