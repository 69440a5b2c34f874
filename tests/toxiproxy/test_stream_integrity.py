"""Whatever toxics come, change and go on live streams: what arrives is a prefix of what was sent, in both directions.

It is all of it, with the end, where no toxic ended the connection or swallowed anything. Seeded schedules; a failure
names its seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.toxiproxy import ToxiproxyServer
from harness.toxiproxy.decode import decode
from harness.toxiproxy.errors import ApiError
from harness.toxiproxy.proxy import Proxy
from tests.toxiproxy.support import closed, descriptors

QUICK = 100  # tests/benchmarks/test_proxy_schedules.py runs 2,000
LINE = 8
LIMIT_S = 20

ATTRIBUTES: dict[str, list[dict[str, int]]] = {
    "noop": [{}],
    "latency": [{"latency": 0}, {"latency": 3, "jitter": 3}, {"latency": 30}, {"latency_us": 300}],
    "bandwidth": [{"rate": 0}, {"rate": 20}, {"rate": 2000}],
    "slow_close": [{"delay": 1}, {"delay": 20}],
    "slicer": [
        {"average_size": 1, "size_variation": 0, "delay": 0},
        {"average_size": 100, "size_variation": 50, "delay": 100},
    ],
    "limit_data": [{"bytes": 0}, {"bytes": 5000}, {"bytes": 60_000}, {"bytes": 1 << 30}],
    "timeout": [{"timeout": 0}, {"timeout": 5}, {"timeout": 1000}],
    "reset_peer": [{"timeout": 0}, {"timeout": 20}],
}
# `rate` 0 closes a connection whose other direction is finished.
HARMLESS = ("noop", "latency", "bandwidth", "slow_close", "slicer")


@dataclass
class Received:
    data: bytearray = field(default_factory=bytearray)
    end: str = "open"


def lines(start: int, count: int) -> bytes:
    """A part of the stream that both sides send: numbered lines."""
    return b"".join(b"%07d\n" % number for number in range(start, start + count))


async def receive(reader: asyncio.StreamReader, into: Received) -> None:
    try:
        while data := await reader.read(1 << 16):
            into.data += data
        into.end = "EOF"
    except OSError:
        into.end = "reset"


async def send(writer: asyncio.StreamWriter, chaos: random.Random, total: int) -> None:
    sent = 0
    with contextlib.suppress(OSError, RuntimeError):  # uvloop: the transport is closed
        while sent < total:
            count = min(chaos.choice((1, 10, 100, 300)), total - sent)
            writer.write(lines(sent, count))
            await writer.drain()
            sent += count
            if chaos.random() < 0.5:
                await asyncio.sleep(chaos.choice((0, 0.001, 0.003)))
        writer.write_eof()


class Schedule:
    """Random changes of one proxy. `harmless`: none that may end a connection or swallow data."""

    def __init__(self, server: ToxiproxyServer, proxy: Proxy, chaos: random.Random, harmless: bool) -> None:
        self.server = server
        self.proxy = proxy
        self.chaos = chaos
        self.harmless = harmless

    async def change(self) -> None:
        chaos, toxics = self.chaos, self.proxy.toxics
        match chaos.choices(
            ["add", "update", "toxicity", "remove", "reset", "drop", "end"], [8, 3, 2, 5, 1, 0.3, 1]
        )[0]:
            case "add" if len(toxics) < 6:
                self.add()
            case "update" if toxics:
                toxic = chaos.choice(toxics)
                self.apply(toxic.name, {"attributes": self.attributes(toxic.behaviour.TYPE)})
            case "toxicity" if toxics:
                self.apply(chaos.choice(toxics).name, {"toxicity": chaos.choice((0, 0.5, 1))})
            case "remove" if toxics:
                self.proxy.remove(chaos.choice(toxics))
            case "reset":
                await self.server._running().reset()
            case "drop" if not self.harmless:
                await self.drop()
            case "end" if not self.harmless:
                await self.end_and_remove()

    async def end_and_remove(self) -> None:
        """A toxic ends the connection, others still hold its end, and it is removed."""
        stream = self.chaos.choice(("upstream", "downstream"))
        kind = self.chaos.choice(("limit_data", "timeout", "reset_peer"))
        limit = {"bytes": self.chaos.choice((0, 400, 20_000))} if kind == "limit_data" else {"timeout": 0}
        behind = self.chaos.choice(("latency", "slow_close", "bandwidth"))
        hold = {"latency": {"latency": 40}, "slow_close": {"delay": 40}, "bandwidth": {"rate": 20}}[behind]
        self.proxy.reset()
        for name, one, attributes in (("first", kind, limit), ("second", behind, hold)):
            body = {"name": name, "type": one, "stream": stream, "attributes": attributes}
            self.proxy.add_from(decode(json_bytes(body)))
        for name in ("first", "second"):
            await asyncio.sleep(self.chaos.choice((0.005, 0.015)))
            self.proxy.remove(self.proxy.find(name))

    def add(self) -> None:
        kind = self.chaos.choice(HARMLESS if self.harmless else list(ATTRIBUTES))
        body: dict[str, Any] = {
            "type": kind,
            "name": f"{kind}{self.chaos.randrange(2)}",
            "stream": self.chaos.choice(("upstream", "downstream")),
            "attributes": self.attributes(kind),
            "toxicity": self.chaos.choice((0, 1, 1)),
        }
        if self.chaos.random() < 0.3:
            body["expires_in_s"] = self.chaos.choice((0.001, 0.01, 0.03))
        with contextlib.suppress(ApiError):  # a duplicate name
            self.proxy.add_from(decode(json_bytes(body)))

    def attributes(self, kind: str) -> dict[str, int]:
        return self.chaos.choice(
            [one for one in ATTRIBUTES[kind] if not (self.harmless and one.get("rate") == 0)]
        )

    def apply(self, name: str, body: dict[str, Any]) -> None:
        self.proxy.update(self.proxy.find(name), decode(json_bytes(body)))

    async def drop(self) -> None:
        proxies = self.server._running()
        if self.chaos.random() < 0.5:
            await proxies.update(self.proxy, decode(b'{"enabled": false}'))
            await proxies.update(self.proxy, decode(b'{"enabled": true}'))
        else:
            self.proxy.reset_connections()


def json_bytes(body: dict[str, Any]) -> bytes:
    import json

    return json.dumps(body).encode()


async def run_schedule(server: ToxiproxyServer, seed: int, strict: bool) -> None:
    chaos = random.Random(seed)
    harmless = seed % 3 == 0
    totals = [chaos.choice((0, 10, 2000, 20_000)) for _ in range(2)]
    accepted: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result((reader, writer))

    upstream = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = upstream.sockets[0].getsockname()[1]
    name = f"s{seed}"
    body = {"name": name, "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{port}"}
    proxy = await server._running().create(decode(json_bytes(body)))
    schedule = Schedule(server, proxy, chaos, harmless)
    for _ in range(chaos.randrange(3)):
        schedule.add()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.listen.rsplit(":", 1)[1]))
    far_reader, far_writer = await asyncio.wait_for(accepted, LIMIT_S)
    up, down = Received(), Received()
    work = [
        asyncio.create_task(receive(far_reader, up)),
        asyncio.create_task(receive(reader, down)),
        asyncio.create_task(send(writer, random.Random(seed + 1), totals[0])),
        asyncio.create_task(send(far_writer, random.Random(seed + 2), totals[1])),
    ]
    for _ in range(chaos.choice((5, 20, 60))):
        await asyncio.sleep(chaos.choice((0, 0, 0.001, 0.002, 0.005)))
        await schedule.change()
    if not harmless or chaos.random() < 0.5:
        proxy.reset()
    else:  # what remains must only slow it down
        for toxic in proxy.toxics:
            if toxic.behaviour.TYPE == "bandwidth" or toxic.behaviour.attributes().get("average_size") == 1:
                proxy.remove(toxic)
    try:
        await asyncio.wait_for(asyncio.gather(*work), LIMIT_S)
    except TimeoutError:
        pytest.fail(f"seed {seed}: a stream never ends: {[task.done() for task in work]}")
    finally:
        for each in (writer, far_writer):
            await closed(each)
        upstream.close()
        server._running().delete(proxy)
    for received, total in ((up, totals[0]), (down, totals[1])):
        sent = lines(0, total)
        assert sent.startswith(received.data), f"seed {seed}: not a prefix: {hole(bytes(received.data))}"
        if harmless and not strict:  # in strict mode the first end closes both directions
            assert (received.end, len(received.data)) == ("EOF", len(sent)), f"seed {seed}"


def hole(data: bytes) -> str:
    """Where the stream goes wrong."""
    for at in range(0, len(data), LINE):
        if data[at : at + LINE] != lines(at // LINE, 1):
            return f"line {at // LINE} is {data[at : at + LINE]!r}"
    return "too long"


def run_all(seeds: range, *, uvloop: bool) -> None:
    async def main() -> None:
        failures: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        for strict in (False, True):
            async with ToxiproxyServer("127.0.0.1", 0, seed=1, strict=strict) as server:
                for seed in seeds:
                    if seed % 2 == strict:
                        await run_schedule(server, seed, strict)
            for _ in range(3):
                await asyncio.sleep(0)
        left = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert left == []
        assert failures == []

    factory = None
    if uvloop:
        factory = pytest.importorskip("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(asyncio.sleep(0))  # uvloop keeps two descriptors once it has been used
    gc.collect()
    before = descriptors()
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
    gc.collect()
    assert descriptors() <= before


@pytest.mark.parametrize("uvloop", [False, True], ids=["standard loop", "uvloop"])
def test_what_arrives_is_a_prefix_of_what_was_sent(uvloop: bool) -> None:
    run_all(range(QUICK) if uvloop else range(QUICK, 2 * QUICK), uvloop=uvloop)
