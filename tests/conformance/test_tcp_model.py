"""The simulated TCP beside Linux: figures of cubic in network namespaces (kernel 6.18, delay and rate by a queue).

Each row says what was measured, with the queue in front of the link. Rates are of payload: 1,448 of 1,500 bytes. Bulk
rows are one kernel run of 45 to 80 s each. Warm transfers at 100 ms are left out: the kernel has two modes there.
"""

from __future__ import annotations

import asyncio
from statistics import fmean

import pytest

from harness.system import Access, Link
from tests.sim.small_network import SmallNetwork

GOODPUT = 1448 / 1500
WITHIN = 0.25
MEGABYTE = bytes(1_000_000)


def network(mbps: float, *, queue_kb: float = 350, rtt_s: float = 0.0, loss: float = 0.0) -> SmallNetwork:
    """Servers in `there`, one link from `here`."""
    queue_bytes = int(queue_kb * 1024)
    link = Link("here", "there", rtt_s, mbps * 1e6 * GOODPUT, loss=loss, queue_bytes=queue_bytes)
    return SmallNetwork(link)


def near(rtt_s: float) -> Access:
    """An access link that only adds to the round trip."""
    return Access(1e12, 1e12, rtt_s)


async def send_on_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """For each line a number of bytes."""
    while line := await reader.readline():
        left = int(line)
        while left:
            writer.write(MEGABYTE[:left])
            left -= min(left, len(MEGABYTE))
            await writer.drain()


async def fetch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int) -> float:
    """Seconds from the request to the last byte."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    writer.write(b"%d\n" % size)
    await reader.readexactly(size)
    return loop.time() - began_s


@pytest.mark.parametrize(
    ("size", "rtt_s", "mbps", "kernel_s"),
    [
        (500_000, 0.100, 20, 0.632),
        (500_000, 0.040, 20, 0.332),
        (500_000, 0.020, 20, 0.255),
        (2_000_000, 0.020, 200, 0.192),
    ],
)
def test_a_cold_transfer(size: int, rtt_s: float, mbps: float, kernel_s: float) -> None:
    net = network(mbps, rtt_s=rtt_s)
    net.server(send_on_request)

    async def main() -> float:
        return await fetch(*await net.connect(), size)

    assert net.run(main, net.client()) == pytest.approx(kernel_s, rel=WITHIN)


@pytest.mark.parametrize(("rtt_s", "idle_s", "kernel_s"), [(0.100, 4.0, 0.632), (0.040, 0.0, 0.248)])
def test_a_transfer_after_another(rtt_s: float, idle_s: float, kernel_s: float) -> None:
    """After 4 s of silence as slow as a cold one; at once as fast as the line."""
    net = network(20, rtt_s=rtt_s)
    net.server(send_on_request)

    async def main() -> float:
        streams = await net.connect()
        await fetch(*streams, 500_000)
        await asyncio.sleep(idle_s)
        return await fetch(*streams, 500_000)

    assert net.run(main, net.client()) == pytest.approx(kernel_s, rel=WITHIN)


def test_a_host_may_keep_its_window_over_silence() -> None:
    net = network(20, rtt_s=0.1)
    net.server(send_on_request).restarts_after_idle = False

    async def main() -> float:
        streams = await net.connect()
        await fetch(*streams, 500_000)
        await asyncio.sleep(4)
        return await fetch(*streams, 500_000)

    assert net.run(main, net.client()) < 0.4


async def bulk(net: SmallNetwork) -> None:
    """Receive without end."""
    reader, writer = await net.connect()
    writer.write(b"%d\n" % 10**9)
    while await reader.read(1 << 20):
        pass


@pytest.mark.parametrize(
    ("mbps", "rtt_s", "queue_kb", "kernel_s"),
    [
        (20, 0.040, 128, 0.081),
        (20, 0.040, 256, 0.124),
        (20, 0.040, 350, 0.156),
        (2, 0.060, 128, 0.467),
        (2, 0.060, 32, 0.160),
    ],
)
def test_a_small_request_beside_a_full_link(
    mbps: float, rtt_s: float, queue_kb: float, kernel_s: float
) -> None:
    net = network(mbps, rtt_s=rtt_s, queue_kb=queue_kb)
    net.server(send_on_request)
    other = net.client("other")

    async def main() -> float:
        other.run(bulk(net))
        streams = await net.connect()
        await asyncio.sleep(10)
        found = []
        for _ in range(60):
            found.append(await fetch(*streams, 100))
            await asyncio.sleep(0.37)
        return fmean(found)

    assert net.run(main, net.client()) == pytest.approx(kernel_s, rel=WITHIN)


def received_mbps(net: SmallNetwork, rtts_s: list[float], seconds: float) -> list[float]:
    """What each of several bulk transfers gets, over access links of these round trips."""
    counts = [0] * len(rtts_s)

    async def receive(index: int) -> None:
        reader, writer = await net.connect()
        writer.write(b"%d\n" % 10**9)
        while data := await reader.read(1 << 20):
            counts[index] += len(data)

    async def main() -> list[float]:
        for index, rtt_s in enumerate(rtts_s):
            net.client(f"client-{index}", access=near(rtt_s)).run(receive(index))
        await asyncio.sleep(5)
        before = list(counts)
        await asyncio.sleep(seconds)
        return [(a - b) * 8 / 1e6 / seconds for a, b in zip(counts, before, strict=True)]

    return net.run(main)


@pytest.mark.parametrize(
    ("queue_kb", "near_mbps", "far_mbps"),
    [(64, 14.5, 4.8), (128, 11.1, 8.2), (256, 10.9, 8.4), (350, 10.7, 8.7)],
)
def test_the_nearer_of_two_flows_gets_more(queue_kb: float, near_mbps: float, far_mbps: float) -> None:
    net = network(20, queue_kb=queue_kb)
    net.server(send_on_request)
    found = received_mbps(net, [0.020, 0.100], 30)
    assert found == pytest.approx([near_mbps, far_mbps], rel=WITHIN)


def test_two_near_and_two_far_flows() -> None:
    net = network(20, queue_kb=128)
    net.server(send_on_request)
    found = received_mbps(net, [0.020, 0.020, 0.100, 0.100], 30)
    assert [sum(found[:2]), sum(found[2:])] == pytest.approx([12.9, 6.4], rel=WITHIN)


@pytest.mark.parametrize(
    ("loss", "rtt_s", "kernel_mbps"),
    [
        (0.0001, 0.100, 23.9),
        (0.001, 0.020, 21.8),
        (0.001, 0.100, 6.42),
        (0.01, 0.020, 6.37),
        (0.01, 0.100, 1.41),
        (0.03, 0.020, 3.25),
        (0.03, 0.100, 0.713),
        (0.1, 0.020, 1.34),
    ],
)
def test_random_loss(loss: float, rtt_s: float, kernel_mbps: float) -> None:
    net = network(1_000, rtt_s=rtt_s, loss=loss)
    net.server(send_on_request)
    assert received_mbps(net, [0.0], 30) == pytest.approx([kernel_mbps], rel=WITHIN)


def test_a_lone_request_is_not_delayed_by_its_own_past() -> None:
    net = network(20, rtt_s=0.04)
    net.server(send_on_request)

    async def main() -> float:
        streams = await net.connect()
        await fetch(*streams, 2_000_000)
        return await fetch(*streams, 100)

    assert net.run(main, net.client()) == pytest.approx(0.040, abs=0.002)
