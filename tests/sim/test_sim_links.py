"""What faults on links do to connections that are there already: what is held, what overtakes what, and what is
counted. (The figures of links themselves: test_sim_network.py.)
"""

from __future__ import annotations

import asyncio
import math

import pytest

from harness.faults.exposure import Exposure
from harness.faults.primitives import ClientMatch, EndpointMatch, LinkShape, PathMatch
from harness.runtime.routes import MSS_BYTES
from harness.sim.network.machine import Machine
from harness.system import Access, Link
from tests.sim.small_network import SERVERS, TO_CLIENT, TO_SERVER, SmallNetwork, echo, ignore, send_size

RTT_S = 0.0502
"""Of the link, of the client's access line and of the server's attachment (0.2 ms)."""

ONE_WAY_S = RTT_S / 2

SLOW_START_S = 2 * RTT_S - 3 * 10 * MSS_BYTES / 1e6
"""What slow start costs at 1 MB/s: two rounds with 10 and 20 segments; the third would exceed the rate."""

ACCESS = Access(down_bps=math.inf, up_bps=math.inf, rtt_s=0.01)


def link(
    *, rtt_s: float = 0.04, bandwidth_bps: float = math.inf, jitter_s: float = 0.0, loss: float = 0.0
) -> Link:
    return Link("here", "there", rtt_s, bandwidth_bps, jitter_s, loss)


class Arrivals:
    """A server that notes when each numbered message (a line) came."""

    def __init__(self, net: SmallNetwork) -> None:
        self.numbers: list[int] = []
        self.times_s: list[float] = []
        self._wire = net
        net.server(self._note)

    async def _note(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            self.numbers.append(int(line))
            self.times_s.append(self._wire.now_s)


def send_numbers(
    net: SmallNetwork, count: int, every_s: float, settle_s: float = 30.0
) -> tuple[list[float], list[float]]:
    """Send so many lines, evenly spaced; when each was sent, and when it arrived."""
    arrivals = Arrivals(net)
    sent_s: list[float] = []

    async def main() -> None:
        _, writer = await net.connect()
        await asyncio.sleep(1)
        for number in range(count):
            sent_s.append(net.now_s)
            writer.write(b"%d\n" % number)
            await asyncio.sleep(every_s)
        await asyncio.sleep(settle_s)

    net.run(main, on=net.client(access=ACCESS))
    assert arrivals.numbers == list(range(count)), "a stream keeps everything, in order"
    return sent_s, arrivals.times_s


# ---------------------------------------------------------------------- latency


def test_latency_of_a_fault_is_one_way() -> None:
    net = SmallNetwork(link())
    arrivals = Arrivals(net)

    async def main() -> None:
        _, writer = await net.connect()
        moments: list[float] = []
        for path, delay_s in ((TO_CLIENT, 0.0), (TO_SERVER, 0.3)):
            rule = net.network.impair(path, shape=LinkShape(latency_s=0.3))
            moments.append(net.now_s + ONE_WAY_S + delay_s)
            writer.write(b"0\n")
            await asyncio.sleep(1)
            rule.remove()
        assert arrivals.times_s == pytest.approx(moments)

    net.run(main, on=net.client(access=ACCESS))


def test_what_is_sent_after_a_fault_does_not_overtake_what_was_sent_during_it() -> None:
    net = SmallNetwork(link())
    arrivals = Arrivals(net)

    async def main() -> None:
        _, writer = await net.connect()
        rule = net.network.impair(TO_SERVER, shape=LinkShape(latency_s=2.0))
        start_s = net.now_s
        writer.write(b"1\n")
        await asyncio.sleep(0.5)
        rule.remove()
        writer.write(b"2\n")
        await asyncio.sleep(5)
        writer.write(b"3\n")
        await asyncio.sleep(1)
        assert arrivals.numbers == [1, 2, 3]
        slow_s = start_s + 2.0 + ONE_WAY_S
        assert arrivals.times_s == pytest.approx([slow_s, slow_s, start_s + 5.5 + ONE_WAY_S])

    net.run(main, on=net.client(access=ACCESS))


# ---------------------------------------------------------------------- jitter


def test_jitter_is_a_function_of_the_seed() -> None:
    def arrivals(seed: int) -> list[float]:
        return send_numbers(SmallNetwork(link(jitter_s=0.03), seed=seed), 30, 0.01)[1]

    assert arrivals(1) == arrivals(1)
    assert arrivals(1) != arrivals(2)


def test_nothing_arrives_before_it_was_sent() -> None:
    sent_s, arrived_s = send_numbers(SmallNetwork(link(jitter_s=10.0)), 50, 1.0)
    assert all(sent <= arrived for sent, arrived in zip(sent_s, arrived_s, strict=True))


# ---------------------------------------------------------------------- loss


def test_a_lost_packet_comes_later_and_those_behind_it_wait() -> None:
    """The retransmission time-out is 200 ms at least. 5 % of 2,000 are 100, give or take 30 (3 sigma); each
    holds up what is sent in the next 200 ms."""
    sent_s, arrived_s = send_numbers(SmallNetwork(link(loss=0.05)), 2000, 1.0)
    late_s = [arrived - sent - ONE_WAY_S for sent, arrived in zip(sent_s, arrived_s, strict=True)]
    assert all(late == pytest.approx(0.0, abs=1e-4) or late > 0.199 for late in late_s)
    assert 70 < sum(late > 0.1 for late in late_s) < 130
    assert any(late > 0.599 for late in late_s), "the retransmission may be lost too"

    sent_s, arrived_s = send_numbers(SmallNetwork(link(loss=0.05)), 2000, 0.05)
    stuck = [
        arrived
        for sent, arrived, before in zip(sent_s[1:], arrived_s[1:], arrived_s, strict=False)
        if arrived == before and arrived > sent + ONE_WAY_S + 1e-4
    ]
    assert len(stuck) > 100, "no message overtakes the one that is sent again"


def test_a_lossy_link_delays_connections_by_whole_seconds() -> None:
    """A SYN, or its answer, is sent again after a second (RFC 6298)."""
    net = SmallNetwork(link(loss=0.2))
    net.server(ignore)

    async def main() -> list[float]:
        took_s: list[float] = []
        for _ in range(200):
            start_s = net.now_s
            await net.connect()
            took_s.append(net.now_s - start_s - RTT_S)
        return took_s

    took_s = net.run(main, on=net.client(access=ACCESS))
    assert all(took == pytest.approx(round(took), abs=1e-6) for took in took_s)
    assert 40 < sum(took > 0.5 for took in took_s) < 104  # 1 - 0.8 * 0.8 = 36 % of 200 are 72


# ---------------------------------------------------------------------- bandwidth


def test_a_fault_meets_only_the_clients_that_it_names() -> None:
    net = SmallNetwork(link())
    net.server(send_size)
    slow = PathMatch(SERVERS, EndpointMatch(clients=ClientMatch(group="dsl")))
    rule = net.network.impair(slow, shape=LinkShape(bandwidth_bps=8e6))

    async def download() -> float:
        reader, writer = await net.connect()
        start_s = net.now_s + RTT_S
        writer.write(b"1000000\n")
        await reader.read()
        return net.now_s - start_s

    async def main() -> list[float]:
        machines = [
            net.client(f"c{number}", group=group, access=ACCESS) for number, group in enumerate(groups)
        ]
        return list(await asyncio.gather(*(machine.run(download()) for machine in machines)))

    groups = ("dsl", "fibre", "dsl")
    # 1 MB/s after slow start; without a limit six rounds of it, and what is left fits into the window.
    assert net.run(main) == pytest.approx([1 + SLOW_START_S, 6 * RTT_S, 1 + SLOW_START_S], abs=1e-6)
    assert rule.exposure() == Exposure(connections=2, limited=2, bytes=2_000_000)


@pytest.mark.parametrize("bandwidth_bps", [8e6, 10e9, 400e9])
def test_transfers_end_however_late_it_is_and_however_fast_the_link(bandwidth_bps: float) -> None:
    """After ten years the clock moves in steps of 60 ns, in which a fast link carries thousands of bytes."""
    net = SmallNetwork(link(bandwidth_bps=bandwidth_bps))
    net.server(send_size)

    async def main() -> None:
        for wait_s in (0.0, 1000.0, 10_000.0, 1e6, 3e8):
            await asyncio.sleep(wait_s + 0.123456789)
            sizes = [1, 1461, 1_234_567, 3_456_789]
            pairs = [await net.connect() for _ in sizes]
            for size, (_, writer) in zip(sizes, pairs, strict=True):
                writer.write(b"%d\n" % size)
            assert await asyncio.gather(*(count(reader) for reader, _ in pairs)) == sizes

    async def count(reader: asyncio.StreamReader) -> int:
        n_bytes = 0
        while data := await reader.read(1 << 20):
            n_bytes += len(data)
        return n_bytes

    net.run(main, on=net.client(access=ACCESS))


# ---------------------------------------------------------------------- cuts


def test_a_cut_one_way_holds_that_way_only_and_backs_off() -> None:
    """What was sent at 0 is tried again after 0.2, 0.6, 1.4 and 3 s (RFC 6298). Healed at 2 s, it gets there
    with the try at 3; what the other side says gets through all the time."""
    net = SmallNetwork(link())
    heard_s: list[float] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def listen() -> None:
            while await reader.read(100):
                heard_s.append(net.now_s)

        listening = asyncio.ensure_future(listen())
        while not listening.done():
            writer.write(b"!")
            await asyncio.sleep(0.1)

    net.server(talk)

    async def main() -> None:
        reader, writer = await net.connect()
        cut = net.network.impair(TO_SERVER, cut=True)
        start_s = net.now_s
        writer.write(b"?")
        for _ in range(10):
            await reader.readexactly(1)
        assert net.now_s < start_s + 1.2
        await asyncio.sleep(start_s + 2 - net.now_s)
        cut.remove()
        await asyncio.sleep(2)
        assert heard_s == pytest.approx([start_s + 3.0 + ONE_WAY_S])
        writer.write(b"?")
        await asyncio.sleep(1)
        assert heard_s[1:] == pytest.approx([start_s + 4.0 + ONE_WAY_S]), "the next one is not held"
        assert cut.exposure() == Exposure(connections=1, lost=1, bytes=1)

    net.run(main, on=net.client(access=ACCESS))


def test_without_acknowledgements_a_sender_gets_one_window_through() -> None:
    """Cut towards the server, the client still hears ten segments (RFC 6928), and the rest after the heal."""
    net = SmallNetwork(link())
    net.server(send_size)

    async def main() -> None:
        reader, writer = await net.connect()
        writer.write(b"1000000\n")
        await asyncio.sleep(ONE_WAY_S / 2)
        cut = net.network.impair(TO_SERVER, cut=True)
        await asyncio.sleep(10)
        assert len(reader._buffer) == 14_600  # type: ignore[attr-defined]
        cut.remove()
        assert len(await reader.read()) == 1_000_000

    net.run(main, on=net.client(access=ACCESS))


def test_a_cut_in_the_middle_of_a_transfer() -> None:
    """1 MB/s after slow start. Cut both ways from 1 s to 2.5 s; the next try of the sender is 3 s after it noticed."""
    net = SmallNetwork(link(bandwidth_bps=8e6))
    net.server(send_size)
    everything = PathMatch(EndpointMatch(everything=True), EndpointMatch(everything=True))

    async def main() -> float:
        reader, writer = await net.connect()
        writer.write(b"2000000\n")
        start_s = net.now_s + RTT_S
        received = bytearray()

        async def read() -> None:
            while data := await reader.read(1 << 20):
                received.extend(data)

        reading = asyncio.ensure_future(read())
        await asyncio.sleep(ONE_WAY_S + 1)
        cut = net.network.impair(everything, cut=True)
        await asyncio.sleep(1.5)
        assert len(received) == pytest.approx(1e6 * (1 - SLOW_START_S), abs=20)
        cut.remove()
        await reading
        assert len(received) == 2_000_000
        assert cut.exposure().connections == 1
        return net.now_s - start_s

    assert net.run(main, on=net.client(access=ACCESS)) == pytest.approx(
        1 + 3 + 1 + 2 * SLOW_START_S, abs=0.01
    )


# ---------------------------------------------------------------------- what is counted


@pytest.fixture
def three() -> tuple[SmallNetwork, list[Machine]]:
    net = SmallNetwork(link())
    net.server(echo)
    return (
        net,
        [
            net.client(f"c{number}", group="odd" if number % 2 else "even", access=ACCESS)
            for number in range(3)
        ],
    )


def test_exposure_counts_what_was_touched_and_nothing_else(three: tuple[SmallNetwork, list[Machine]]) -> None:
    net, machines = three
    path = PathMatch(EndpointMatch(clients=ClientMatch(group="even")), SERVERS)

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, n: int) -> None:
        writer.write(bytes(n))
        await reader.readexactly(n)

    async def main() -> None:
        async def connect(machine: Machine) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await machine.run(net.connect())

        ends = [await connect(machine) for machine in machines]
        rule = net.network.impair(path, shape=LinkShape(latency_s=0.1))
        assert rule.exposure() == Exposure(), "idle connections are not touched"
        await ask(*ends[1], 1000)
        assert rule.exposure() == Exposure(), "nor those of others"
        await ask(*ends[0], 1000)
        await ask(*ends[0], 500)
        assert rule.exposure() == Exposure(connections=1, delayed=1, bytes=1500)
        await ask(*ends[2], 1000)
        assert rule.exposure() == Exposure(connections=2, delayed=2, bytes=2500)
        await connect(machines[2])
        assert rule.exposure() == Exposure(connections=3, delayed=3, bytes=2500)
        rule.remove()
        rule.remove()
        await ask(*ends[0], 1000)
        assert rule.exposure() == Exposure(connections=3, delayed=3, bytes=2500), "no more after its end"

    net.run(main)


def test_a_reset_counts_each_connection_once(three: tuple[SmallNetwork, list[Machine]]) -> None:
    net, machines = three

    async def main() -> None:
        ends = [await machine.run(net.connect()) for machine in machines]
        await asyncio.sleep(1)
        even = EndpointMatch(clients=ClientMatch(group="even"))
        assert net.network.reset(PathMatch(even, SERVERS)) == Exposure(connections=2, resets=2)
        for reader, _ in ends[::2]:
            with pytest.raises(ConnectionResetError):
                await reader.read()
        ends[1][1].write(b"?")
        assert await ends[1][0].read(1) == b"?"
        assert net.network.reset(PathMatch(even, SERVERS)) == Exposure()

    net.run(main)
