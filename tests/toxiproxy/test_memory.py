"""What toxics have held of a connection is freed when it closes."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from tests.toxiproxy.support import closed, connected, eventually, on_loop, serving, upstream

BULK_BYTES = 4 << 20
KEPT_BYTES = BULK_BYTES // 16


async def send_bulk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(bytes(BULK_BYTES))
    await writer.drain()
    await reader.read()


@on_loop
async def test_bulk_held_by_a_toxic_is_freed_and_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    returned = asyncio.Event()
    monkeypatch.setattr("harness.toxiproxy.context._trim", returned.set)
    async with serving() as api, upstream(send_bulk) as address:
        listen = (await api.proxy(address)).json["listen"]
        await api.toxic("latency", latency=60_000)
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            async with connected(listen) as (_, writer):
                while (await api.call("GET", "/proxies/p/connections")).json["downstream_bytes"] < BULK_BYTES:
                    pass
                await api.call("POST", "/proxies/p/connections/reset")
                await closed(writer)
            await eventually(lambda: tracemalloc.get_traced_memory()[0] < before + KEPT_BYTES)
        finally:
            tracemalloc.stop()
        await returned.wait()
