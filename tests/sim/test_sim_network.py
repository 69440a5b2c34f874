"""The simulated network against what TCP/IP does: delays, losses, silences, names."""

from __future__ import annotations

import asyncio
import errno
import math
import socket
import statistics
from collections.abc import Awaitable, Callable

import pytest

from harness.diagnostics import Code
from harness.errors import InvalidValue
from harness.faults.primitives import EndpointMatch, HostIdentity, LinkShape, PathMatch
from harness.runtime.routes import MSS_BYTES
from harness.sim.loop import SimLoop
from harness.sim.network.machine import Machine
from harness.sim.network.network import OutsideMachine, SimNetwork
from harness.system import Access, Link

EVERYTHING = EndpointMatch(everything=True)
TO_SERVER = PathMatch(EVERYTHING, EndpointMatch(nodes=frozenset({"server"})))
FROM_SERVER = TO_SERVER.reversed()

type Client = Callable[[Net], Awaitable[None]]


class Net:
    """Machines on a network of their own; `client` is where a test runs."""

    def __init__(
        self, seed: int = 1, links: tuple[Link, ...] = (Link("here", "there", 0.1, math.inf),)
    ) -> None:
        self.loop = SimLoop(seed)
        self.network: SimNetwork = self.loop.network
        for link in links:
            self.network.add_link(link)
        self.got: list[tuple[float, int]] = []
        """When the server got how many bytes."""

    def add(
        self, name: str, zone: str, *, access: Access | None = None, names: tuple[str, ...] = ()
    ) -> Machine:
        return self.network.add_machine(
            HostIdentity(name, name, zone, "all" if name == "client" else None), access=access, names=names
        )

    def run(self, client: Client, *, access: Access | None = None, server: bool = True) -> None:
        async def harness() -> None:
            if server:
                ready = asyncio.Event()
                self.add("server", "there").start(lambda: self._serve(ready))
                await ready.wait()
            task = self.add("client", "here", access=access).start(lambda: self._call(client))
            await task

        self.loop.run(harness())

    async def _call(self, client: Client) -> None:
        await client(self)

    async def _serve(self, ready: asyncio.Event) -> None:
        """Echoes."""

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while data := await reader.read(2**20):
                    self.got.append((self.now(), len(data)))
                    writer.write(data)
            finally:
                writer.close()

        server = await asyncio.start_server(handler, port=80)
        ready.set()
        await server.serve_forever()

    def now(self) -> float:
        return self.loop.time()

    async def connect(self, name: str = "server") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(name, 80)


# ---------------------------------------------------------------------- delay


def test_a_connection_takes_one_round_trip_and_so_does_an_answer() -> None:
    """100 ms between the zones, and 0.2 ms from either machine to its zone."""

    async def client(net: Net) -> None:
        reader, writer = await net.connect()
        assert net.now() == pytest.approx(0.1004)
        writer.write(b"x")
        assert await reader.read(1) == b"x"
        assert net.now() == pytest.approx(0.2008)
        writer.close()

    Net().run(client)


def test_the_way_is_the_quickest_not_the_shortest() -> None:
    links = (
        Link("here", "there", 0.5, math.inf),
        Link("here", "hub", 0.1, math.inf),
        Link("hub", "there", 0.2, math.inf),
    )

    async def client(net: Net) -> None:
        _, writer = await net.connect()
        assert net.now() == pytest.approx(0.3004)
        writer.close()

    Net(links=links).run(client)


def test_a_node_may_have_an_uplink_of_its_own() -> None:
    links = (Link("here", "there", 0.1, math.inf), Link("server", "there", 0.05, math.inf))

    async def client(net: Net) -> None:
        _, writer = await net.connect()
        assert net.now() == pytest.approx(0.1502)
        writer.close()

    Net(links=links).run(client)


def test_an_access_link_delays_and_limits_each_way() -> None:
    """100,000 bytes up at 0.8 Mbit/s take 1 s, and down at 8 Mbit/s 0.1 s."""

    async def client(net: Net) -> None:
        reader, writer = await net.connect()
        start_s = net.now()
        assert start_s == pytest.approx(0.1 + 0.0002 + 0.04)
        writer.write(bytes(100_000))
        count = 0
        while count < 100_000:
            count += len(await reader.read(2**20))
        assert net.got[-1][0] - start_s == pytest.approx(1 + 0.0701, rel=0.001)
        # The echo leaves as the data comes in, piece by piece; the last piece is half a second's, in slow start while
        # its acknowledgements wait behind what goes up.
        assert net.now() - start_s == pytest.approx(1.513, abs=0.005)
        writer.close()

    Net().run(client, access=Access(down_bps=8e6, up_bps=0.8e6, rtt_s=0.04))


def test_jitter_varies_the_delay_and_never_the_order() -> None:
    links = (Link("here", "there", 0.1, math.inf, jitter_s=0.04),)

    async def client(net: Net) -> None:
        reader, writer = await net.connect()
        trips = []
        for number in range(300):
            start_s = net.now()
            writer.write(number.to_bytes(2))
            assert await reader.readexactly(2) == number.to_bytes(2)
            trips.append(net.now() - start_s)
        # Each way has half the round trip and half the jitter.
        assert 0.06 <= min(trips) < 0.08
        assert 0.12 < max(trips) <= 0.1404
        assert statistics.fmean(trips) == pytest.approx(0.1004, rel=0.02)
        writer.write(b"".join(number.to_bytes(2) for number in range(200)))
        for number in range(200):
            writer.write(number.to_bytes(2))
            await asyncio.sleep(0.001)
        data = await reader.readexactly(800)
        assert data[:400] == data[400:] == b"".join(number.to_bytes(2) for number in range(200))
        writer.close()

    Net(links=links).run(client)


# ---------------------------------------------------------------------- loss


def test_loss_costs_a_time_out_now_and_then() -> None:
    """A small message, one packet: lost with 10 % on either way, then repeated after at least 200 ms."""
    links = (Link("here", "there", 0.02, math.inf, loss=0.1),)

    async def client(net: Net) -> None:
        reader, writer = await net.connect()
        late = 0
        for _ in range(500):
            start_s = net.now()
            writer.write(b"x")
            await reader.read(1)
            took_s = net.now() - start_s
            assert took_s == pytest.approx(0.0204, abs=0.0001) or took_s >= 0.22
            late += took_s > 0.2
        # Expected 1 - 0.9^2 = 19 % of 500 = 95, standard deviation 8.8.
        assert 60 < late < 130
        writer.close()

    Net(links=links).run(client)


@pytest.mark.parametrize("loss", [0.0001, 0.01])
def test_loss_holds_down_the_rate(loss: float) -> None:
    """Mathis et al. 1997: at most MSS / RTT * sqrt(3/2) / sqrt(loss)."""
    links = (Link("here", "there", 0.05, 1e9, loss=loss),)

    async def client(net: Net) -> None:
        _, writer = await net.connect()
        start_s = net.now()
        size = 3_000_000
        writer.write(bytes(size))
        while sum(n for _, n in net.got) < size:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        bound_Bps = MSS_BYTES / 0.0504 * math.sqrt(1.5 / loss)
        assert size / (net.now() - start_s) == pytest.approx(bound_Bps, rel=0.15)
        writer.close()

    Net(links=links).run(client)


# ---------------------------------------------------------------------- silence


def test_what_is_cut_is_held_and_sent_again_with_back_off() -> None:
    """Tries 0.2, 0.6, 1.4, 3.0, 6.2, 12.6 s after the first: healed at 10 s, it arrives 12.6 s after it was sent."""

    async def client(net: Net) -> None:
        reader, writer = await net.connect()
        rule = net.network.impair(TO_SERVER, cut=True)
        start_s = net.now()
        writer.write(b"hello")
        await asyncio.sleep(10)
        assert net.got == []
        rule.remove()
        assert await reader.read(5) == b"hello"
        assert net.got[0][0] - start_s == pytest.approx(12.6 + 0.0502, abs=0.001)
        assert rule.exposure().connections == 1
        assert rule.exposure().bytes >= 5
        writer.close()

    Net().run(client)


def test_cut_one_way_the_request_arrives_and_the_answer_does_not() -> None:
    async def client(net: Net) -> None:
        reader, writer = await net.connect()
        rule = net.network.impair(FROM_SERVER, cut=True)
        writer.write(b"hello")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(5), 20)
        assert [n for _, n in net.got] == [5]
        rule.remove()
        assert await asyncio.wait_for(reader.read(5), 60) == b"hello"
        assert [n for _, n in net.got] == [5], "nothing arrives twice"
        writer.close()

    Net().run(client)


def test_a_connection_that_is_cut_for_a_quarter_of_an_hour_is_given_up() -> None:
    """Linux: 15 retries (net.ipv4.tcp_retries2), 924.6 s with the least time-out."""

    async def client(net: Net) -> None:
        reader, writer = await net.connect()
        net.network.impair(TO_SERVER, cut=True)
        start_s = net.now()
        writer.write(b"hello")
        with pytest.raises(TimeoutError):
            await reader.read(5)
        assert net.now() - start_s == pytest.approx(924.6, rel=0.01)
        writer.close()

    Net().run(client)


@pytest.mark.parametrize("match", [TO_SERVER, FROM_SERVER], ids=["to", "from"])
def test_connecting_through_a_cut_is_tried_after_1_3_7_seconds(match: PathMatch) -> None:
    async def client(net: Net) -> None:
        rule = net.network.impair(match, cut=True)
        connecting = asyncio.ensure_future(net.connect())
        await asyncio.sleep(4)
        assert not connecting.done()
        rule.remove()
        _, writer = await connecting
        assert net.now() == pytest.approx(7 + 0.1004)
        assert rule.exposure().connects_blocked == 1
        writer.close()

    Net().run(client)


def test_connecting_into_silence_is_given_up_after_127_seconds() -> None:
    async def client(net: Net) -> None:
        net.add("silent", "there").power_off()
        with pytest.raises(TimeoutError) as caught:
            await net.connect("silent")
        assert caught.value.errno == errno.ETIMEDOUT
        assert net.now() == pytest.approx(127)

    Net().run(client)


# ---------------------------------------------------------------------- rules together


def test_rules_add_up_and_come_off_one_by_one() -> None:
    async def client(net: Net) -> None:
        reader, writer = await net.connect()

        async def trip() -> float:
            start_s = net.now()
            writer.write(b"x")
            await reader.read(1)
            return net.now() - start_s

        one = net.network.impair(TO_SERVER, shape=LinkShape(latency_s=1))
        two = net.network.impair(TO_SERVER, shape=LinkShape(latency_s=0.5))
        back = net.network.impair(FROM_SERVER, shape=LinkShape(latency_s=0.25))
        assert await trip() == pytest.approx(0.1004 + 1.75)
        one.remove()
        one.remove()
        assert await trip() == pytest.approx(0.1004 + 0.75)
        two.remove()
        back.remove()
        assert await trip() == pytest.approx(0.1004)
        writer.close()

    Net().run(client)


def test_one_connections_luck_is_not_anothers() -> None:
    """The delays that a connection draws do not depend on what else is on the network."""

    def trips(*, others: int) -> list[float]:
        found: list[float] = []

        async def client(net: Net) -> None:
            async def other(number: int) -> None:
                machine = net.add(f"other-{number}", "here")
                await machine.start(lambda: chatter(net))

            async def chatter(net: Net) -> None:
                reader, writer = await net.connect()
                for _ in range(20):
                    writer.write(b"x")
                    await reader.read(1)
                writer.close()

            chatting = [asyncio.ensure_future(other(number)) for number in range(others)]
            reader, writer = await net.connect()
            for _ in range(20):
                start_s = net.now()
                writer.write(b"x")
                await reader.read(1)
                found.append(net.now() - start_s)
            writer.close()
            await asyncio.gather(*chatting)

        Net(links=(Link("here", "there", 0.1, math.inf, jitter_s=0.05, loss=0.05),)).run(client)
        return found

    alone = trips(others=0)
    assert trips(others=5) == pytest.approx(alone)
    assert len({round(trip, 6) for trip in alone}) == 20


# ---------------------------------------------------------------------- names and addresses


def test_a_role_resolves_to_the_nearest_first() -> None:
    links = (Link("here", "near", 0.01, math.inf), Link("here", "far", 0.2, math.inf))

    async def client(net: Net) -> None:
        for name, zone in (("far-1", "far"), ("near-2", "near"), ("near-1", "near"), ("here-1", "here")):
            net.add(name, zone, names=("edge",))
        order = net.network.resolve("edge")
        assert order == [net.network.resolve(name)[0] for name in ("here-1", "near-1", "near-2", "far-1")]
        assert len(set(order)) == 4
        found = await asyncio.get_running_loop().getaddrinfo("edge", 80, type=socket.SOCK_STREAM)
        assert [address[0] for *_, address in found] == order

    Net(links=links).run(client, server=False)


def test_names_and_networks_that_are_not_there() -> None:
    async def client(net: Net) -> None:
        with pytest.raises(socket.gaierror):
            await net.connect("nobody")
        net.add("island-1", "island")
        with pytest.raises(OSError, match="Network is unreachable: no link from here to island") as caught:
            await net.connect("island-1")
        assert caught.value.errno == errno.ENETUNREACH
        with pytest.raises(InvalidValue, match="'island-1'") as refused:
            net.add("island-1", "here")
        assert refused.value.diagnostic.code is Code.DUPLICATE

    Net().run(client, server=False)


def test_a_machine_can_talk_to_itself() -> None:
    async def client(net: Net) -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.read(5))
            writer.close()

        server = await asyncio.start_server(handler, port=9000)
        for name in ("localhost", "127.0.0.1", "client"):
            reader, writer = await asyncio.open_connection(name, 9000)
            writer.write(b"hello")
            assert await reader.read() == b"hello"
            writer.close()
        server.close()
        assert net.now() < 0.01

    Net().run(client, server=False)


def test_the_harness_is_not_on_the_network() -> None:
    async def main() -> None:
        with pytest.raises(OutsideMachine, match="only code that runs on a machine"):
            await asyncio.open_connection("server", 80)

    SimLoop().run(main())
