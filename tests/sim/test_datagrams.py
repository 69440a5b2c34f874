"""UDP between machines: links and faults act on each datagram."""

from __future__ import annotations

import asyncio

from harness.faults.primitives import HostIdentity, LinkShape
from harness.sim.network.network import SimNetwork
from harness.system import Link
from tests.sim.small_network import TO_SERVER, SmallNetwork

PORT = 53


class _Log(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.got: list[tuple[float, bytes]] = []

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.got.append((round(asyncio.get_running_loop().time(), 6), data))


def _send(
    link: Link,
    datagrams: int,
    size: int = 100,
    shape: LinkShape | None = None,
    *,
    cut: bool = False,
    seed: int = 1,
) -> tuple[list[tuple[float, bytes]], int]:
    """What arrives of so many datagrams that are sent at 0, and how many bytes the fault has touched."""
    net = SmallNetwork(link, seed=seed)
    network: SimNetwork = net.network
    server = network.add_machine(HostIdentity("server", "server", "there"))
    client = network.add_machine(HostIdentity("client", "client", "here", "any"))
    log = _Log()

    async def listen() -> None:
        await net.loop.create_datagram_endpoint(lambda: log, ("0.0.0.0", PORT))
        await net.loop.create_future()

    async def send() -> None:
        end, _ = await net.loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=("server", PORT)
        )
        for number in range(datagrams):
            end.sendto(number.to_bytes(2) + bytes(size - 2))
        await asyncio.sleep(100)

    async def main() -> int:
        server.start(listen)
        await asyncio.sleep(0)
        impairment = network.impair(TO_SERVER, shape=shape, cut=cut) if shape or cut else None
        await client.start(send)
        return impairment.exposure().bytes if impairment is not None else 0

    touched = net.loop.run(main())
    return log.got, touched


def test_latency_and_rate() -> None:
    got, _ = _send(Link("here", "there", rtt_s=0.1, bandwidth_bps=1e6), 3, 1250)
    times = [time_s for time_s, _ in got]
    # 10 ms each on the line, one after the other.
    assert [round(time_s - times[0], 6) for time_s in times] == [0.0, 0.01, 0.02]
    assert 0.06 <= times[0] < 0.0605


def test_a_full_queue_loses_datagrams() -> None:
    got, _ = _send(Link("here", "there", rtt_s=0.1, bandwidth_bps=1e6, queue_bytes=12_500), 100, 1250)
    assert 10 <= len(got) <= 12


def test_loss_is_not_repaired_and_repeatable() -> None:
    link = Link("here", "there", rtt_s=0.1, loss=0.2, bandwidth_bps=1e12)
    got, _ = _send(link, 1000)
    assert 750 < len(got) < 850
    assert _send(link, 1000) == _send(link, 1000)
    assert _send(link, 1000, seed=2) != _send(link, 1000, seed=1)


def test_faults_act_and_know_what_they_did() -> None:
    link = Link("here", "there", rtt_s=0.1, bandwidth_bps=1e12)
    assert _send(link, 10, cut=True) == ([], 1000)
    got, touched = _send(link, 10, shape=LinkShape(latency_s=1.0))
    assert (len(got), touched) == (10, 1000)
    assert got[0][0] > 1.05
    got, touched = _send(link, 1000, shape=LinkShape(loss=0.5))
    assert touched == 100 * (1000 - len(got))
