"""Toxics together: their order, whether they are active, and their coming and going while data flows."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest

from tests.toxiproxy.support import (
    Sink,
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


@pytest.mark.parametrize("reset_first", [True, False])
@on_loop
async def test_data_passes_them_in_the_order_of_their_creation(reset_first: bool) -> None:
    async with serving() as api, through(api) as streams:
        await talk(streams)
        for kind in ("reset_peer", "slow_close") if reset_first else ("slow_close", "reset_peer"):
            attributes: dict[str, Any] = {"delay": 200} if kind == "slow_close" else {}
            await api.toxic(kind, **attributes)
        start_s = now()
        with pytest.raises(ConnectionResetError):
            await talk(streams)
        # What is slow to close delays the end that comes through it, and no end that begins behind it.
        assert (now() - start_s >= 0.2) == reset_first


@on_loop
async def test_nothing_is_lost_or_reordered_while_toxics_come_and_go() -> None:
    sink, chaos = Sink(), random.Random(7)
    data = chaos.randbytes(24 << 20)
    kinds: list[tuple[str, Mapping[str, int]]] = [
        ("noop", {}), ("latency", {"latency": 2, "jitter": 2}), ("bandwidth", {"rate": 200_000}),
        ("slicer", {"average_size": 3000, "size_variation": 1000}), ("slow_close", {"delay": 1}),
        ("limit_data", {"bytes": 1 << 30}),
    ]  # fmt: skip
    async with serving() as api, through(api, sink) as (_, writer):

        async def pour() -> None:
            at = 0
            while at < len(data):
                size = chaos.choice((1, 100, 5000, 200_000))
                writer.write(data[at : at + size])
                await writer.drain()
                at += size
            writer.write_eof()

        pouring = asyncio.create_task(pour())
        changes = 0
        while not sink.ended.is_set():
            present = (await api.call("GET", "/proxies/p/toxics")).json
            kind, attributes = chaos.choice(kinds)
            name = f"{kind}{chaos.randrange(2)}"
            if any(toxic["name"] == name for toxic in present):
                if chaos.random() < 0.5:
                    await api.untoxic(name)
                else:
                    await api.call("PATCH", f"/proxies/p/toxics/{name}", {"attributes": dict(attributes)})
            else:
                body: dict[str, Any] = {
                    "type": kind,
                    "name": name,
                    "stream": "upstream",
                    "attributes": attributes,
                }
                assert (await api.call("POST", "/proxies/p/toxics", body)).status == 200
            changes += 1
            if changes % 40 == 0:
                await api.call("POST", "/reset")
        await pouring
        assert sink.data == data
        assert changes > 20


@on_loop
async def test_adding_and_removing_latency_a_thousand_times_beside_connections() -> None:
    async with serving() as api, through(api) as streams:
        talking = True

        async def chat() -> None:
            while talking:
                assert await talk(streams) == b"hello"

        chatting = asyncio.create_task(chat())
        proxy = api.server._running().find("p")
        from harness.toxiproxy.decode import decode

        for _ in range(1000):
            toxic = proxy.add_from(decode(b'{"type":"latency","attributes":{"latency":1}}'))
            await asyncio.sleep(0)
            proxy.remove(toxic)
            await asyncio.sleep(0)
        talking = False
        await chatting


@pytest.mark.parametrize("kind", ["timeout", "limit_data", "reset_peer"])
@on_loop
async def test_toxicity_zero_changes_nothing_at_all(kind: str) -> None:
    sink = Sink()
    async with serving() as api, through(api, sink) as (_, writer):
        for stream in ("upstream", "downstream"):
            await api.call("POST", "/proxies/p/toxics", {"type": kind, "stream": stream, "toxicity": 0})
        writer.write(b"hello")
        await eventually(lambda: sink.data == b"hello")
        await api.untoxic(f"{kind}_downstream")  # and its removal closes nothing
        writer.write(b"more")
        writer.write_eof()
        await sink.ended.wait()
        assert sink.data == b"hellomore"
        assert sink.error is None  # an end, not a reset


async def affected(seed: int, toxicity: float, connections: int) -> list[bool]:
    """Which of some connections a toxic closes."""
    async with serving(seed=seed) as api, upstream(echo) as address:
        listen = (await api.proxy(address)).json["listen"]
        body = {"type": "limit_data", "toxicity": toxicity}
        await api.call("POST", "/proxies/p/toxics", body)
        found = []
        for _ in range(connections):
            async with connected(listen) as (reader, writer):
                writer.write(b"x")
                found.append(await reader.read(1) == b"")
        return found


@on_loop
async def test_toxicity_is_drawn_for_each_connection_from_the_seed() -> None:
    first = await affected(1, 0.5, 60)
    assert 15 < sum(first) < 45
    assert await affected(1, 0.5, 60) == first
    assert await affected(2, 0.5, 60) != first
    # The same draw decides for every toxicity: more of it affects all that less of it did.
    assert all(more or not less for less, more in zip(first, await affected(1, 0.8, 60), strict=True))


@on_loop
async def test_an_update_never_draws_again_but_toxicity_takes_effect_on_open_connections() -> None:
    async with serving() as api, through(api) as streams:
        await api.call(
            "POST", "/proxies/p/toxics", {"type": "latency", "toxicity": 0.5, "attributes": {"latency": 30}}
        )

        async def slow() -> bool:
            start_s = now()
            await talk(streams)
            return now() - start_s >= 0.03

        await talk(streams)
        before = [await slow() for _ in range(3)]
        for _ in range(10):
            await api.call("PATCH", "/proxies/p/toxics/latency_downstream", {})
            await api.toxic("noop")
            await api.untoxic("noop_downstream")
        if not before[0]:
            assert not all([await slow() for _ in range(3)])
        else:
            assert all([await slow() for _ in range(3)])
        await api.call("PATCH", "/proxies/p/toxics/latency_downstream", {"toxicity": 1})
        assert await slow()
        await api.call("PATCH", "/proxies/p/toxics/latency_downstream", {"toxicity": 0})
        assert not all([await slow() for _ in range(3)])


@on_loop
async def test_a_toxic_expires_by_itself_and_its_lease_can_be_renewed() -> None:
    async with serving() as api, through(api) as streams:
        path = "/proxies/p/toxics/latency_downstream"
        body = {"type": "latency", "attributes": {"latency": 20_000}, "expires_in_s": 0.08}
        added = (await api.call("POST", "/proxies/p/toxics", body)).json
        assert 0 < added["expires_in_s"] <= 0.08
        start_s = now()
        assert await talk(streams) == b"hello"
        assert 0.05 < now() - start_s < 1
        assert (await api.call("GET", path)).status == 404

        await api.call("POST", "/proxies/p/toxics", body)
        assert 59 < (await api.call("PATCH", path, {"expires_in_s": 60})).json["expires_in_s"] <= 60
        assert 59 < (await api.call("PATCH", path, {"toxicity": 1})).json["expires_in_s"] <= 60
        assert "expires_in_s" not in (await api.call("PATCH", path, {"expires_in_s": 0})).json
        await asyncio.sleep(0.1)
        assert (await api.call("GET", path)).status == 200


@on_loop
async def test_the_expiry_of_a_toxic_that_was_removed_does_not_touch_the_next_of_its_name() -> None:
    async with serving() as api:
        for name in ("p", "q"):
            await api.proxy("x:1", name=name)
            await api.call("POST", f"/proxies/{name}/toxics", {"type": "noop", "expires_in_s": 0.05})
        await api.call("DELETE", "/proxies/q")
        await api.untoxic("noop_downstream")
        await api.toxic("noop")
        await asyncio.sleep(0.1)
        assert len((await api.call("GET", "/proxies/p/toxics")).json) == 1


@on_loop
async def test_a_toxic_that_raises_closes_its_connection_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    from harness.toxiproxy.toxics.noop import Noop

    async def fail(self: Noop, stage: object) -> None:
        raise ZeroDivisionError("a bug in a toxic")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Noop, "pipe", fail)
        async with serving() as api, through(api) as (reader, _):
            await eventually(lambda: api.server.statistics.connections == 1)
            await api.toxic("noop")
            assert await reader.read() == b""
            assert (await api.call("GET", "/version")).status == 200
    assert "a bug in a toxic" in caplog.text


@on_loop
async def test_removing_a_toxic_whose_connection_is_broken() -> None:
    """Both sides are gone while toxics still hold data: it is removed at once, and nothing of it stays."""
    async with serving() as api, upstream(echo) as address:
        listen = (await api.proxy(address)).json["listen"]
        kinds: tuple[tuple[str, dict[str, Any]], ...] = (
            ("latency", {"latency": 60_000}),
            ("bandwidth", {"rate": 1}),
            ("slicer", SLICES),
        )
        for kind, attributes in kinds:
            await api.toxic(kind, **attributes)
            await api.toxic(kind, "upstream", **attributes)
            async with connected(listen) as (_, writer):
                writer.write(bytes(100_000))
                await eventually(lambda: api.server.statistics.connections == 1)
                writer.transport.abort()
            for stream in ("upstream", "downstream"):
                await api.untoxic(f"{kind}_{stream}")
            await api.call("POST", "/proxies/p/connections/reset")
            assert api.server.statistics.connections == 0


SLICES: dict[str, Any] = {"average_size": 10, "delay": 1_000_000}
