"""Whole transfers over raw streams against an independent calculation of who should get how much."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from harness.sim.network.sender import PROGRESS_S
from harness.system import Access, Link
from tests.sim.small_network import SmallNetwork, send_size

MEGABYTE = 1_000_000


async def download(net: SmallNetwork, server: str, size: int) -> tuple[float, float]:
    """Seconds from the request until half of it was there (it shows twice a second), and all of it."""
    reader, writer = await net.connect(server)
    start_s = net.now_s
    writer.write(b"%d\n" % size)
    count, half_s = 0, 0.0
    while data := await reader.read(1 << 20):
        count += len(data)
        if not half_s and count >= size / 2:
            half_s = net.now_s - start_s
    assert count == size
    return half_s, net.now_s - start_s


@pytest.mark.parametrize("count", [1, 4, 16])
def test_downloads_share_a_link(count: int) -> None:
    net = SmallNetwork(Link("here", "there", rtt_s=0.001, bandwidth_bps=10e6))
    net.server(send_size)

    async def main() -> list[tuple[float, float]]:
        clients = [net.client(f"c{number}") for number in range(count)]
        return await asyncio.gather(*(each.run(download(net, "server", MEGABYTE)) for each in clients))

    results = net.run(main)
    ideal_s = count * MEGABYTE * 8 / 10e6
    for half_s, done_s in results:
        assert ideal_s <= done_s <= ideal_s * 1.02
        assert ideal_s / 2 <= half_s <= ideal_s / 2 + PROGRESS_S
    for moments in zip(*results, strict=True):
        assert max(moments) <= min(moments) * 1.02


# ---------------------------------------------------------------------- random topologies


@dataclass(frozen=True)
class Plan:
    """A tree of zones (each but the first hangs on an earlier one), servers in zones, and who loads from whom.

    Rates in Mbit/s. Download n: (server's zone, client's zone, rate of the client's access line).
    """

    uplinks: Sequence[tuple[int, float]]
    downloads: Sequence[tuple[int, int, float]]

    def way_up(self, zone: int) -> list[int]:
        """The zones on the way to the first one, which is not among them."""
        way = []
        while zone:
            way.append(zone)
            zone = self.uplinks[zone - 1][0]
        return way

    def hops(self, server: int, client: int) -> list[tuple[str, int]]:
        """Up from the server's zone to where the ways meet, and down to the client's."""
        up, down = self.way_up(server), self.way_up(client)
        return [("up", zone) for zone in up if zone not in down] + [
            ("down", zone) for zone in down if zone not in up
        ]


RATES = st.sampled_from([1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 20.0, 50.0])


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    uplinks = [
        (draw(st.integers(0, zone)), draw(RATES))
        for zone in range(draw(st.integers(min_value=1, max_value=5)))
    ]
    zone = st.integers(0, len(uplinks))
    access = st.one_of(st.just(math.inf), RATES)
    downloads = draw(st.lists(st.tuples(zone, zone, access), min_size=1, max_size=10))
    return Plan(uplinks, downloads)


def fair_rates(plan: Plan) -> list[float]:
    """Progressive filling by definition: raise all rates together; those at a full pipe rise no more.

    inf where nothing limits a download.
    """
    capacity: dict[object, float] = {}
    users: dict[object, list[int]] = {}
    for number, (server, client, access) in enumerate(plan.downloads):
        for hop in [*plan.hops(server, client), ("access", number)]:
            kind, where = hop
            capacity[hop] = access if kind == "access" else plan.uplinks[where - 1][1]
            users.setdefault(hop, []).append(number)
    rates = [0.0] * len(plan.downloads)
    rising = set(range(len(plan.downloads)))
    while rising:
        room = {
            hop: (capacity[hop] - sum(rates[n] for n in users[hop])) / len(rising.intersection(users[hop]))
            for hop in capacity
            if rising.intersection(users[hop])
        }
        step = min(room.values())
        if math.isinf(step):
            for number in rising:
                rates[number] = math.inf
            break
        for number in rising:
            rates[number] += step
        for full in [hop for hop, left in room.items() if left <= step * (1 + 1e-12)]:
            rising.difference_update(users[full])
    return rates


def test_the_calculation_by_an_example() -> None:
    """Two over a pipe of 10, one of them through an access line of 2; a third through a pipe of 3 and the 10."""
    plan = Plan([(0, 10.0), (1, 3.0)], [(0, 1, math.inf), (0, 1, 2.0), (0, 2, math.inf), (1, 1, math.inf)])
    assert fair_rates(plan) == pytest.approx([5.0, 2.0, 3.0, math.inf])


@settings(deadline=None, max_examples=120)
@given(plans())
def test_every_download_gets_its_max_min_share(plan: Plan) -> None:
    """Each is given what its share carries in 4 s: then all run together, and end together, after 4 s."""
    rates = fair_rates(plan)
    event(f"{len(set(rates))} different rates")
    net = SmallNetwork(
        # All have one round trip, so that none has more weight; slow start is over after some of them.
        *(Link(f"z{up}", f"z{zone}", 0.0, rate * 1e6) for zone, (up, rate) in enumerate(plan.uplinks, 1))
    )
    for zone in range(len(plan.uplinks) + 1):
        net.server(send_size, f"s{zone}", f"z{zone}")

    async def main() -> list[tuple[float, float]]:
        tasks = []
        for number, ((server, client, access), rate) in enumerate(zip(plan.downloads, rates, strict=True)):
            machine = net.client(f"c{number}", f"z{client}", access=Access(access * 1e6, math.inf, 0.001))
            size = MEGABYTE if math.isinf(rate) else round(rate * 1e6 / 8 * 4)
            tasks.append(machine.run(download(net, f"s{server}", size)))
        return await asyncio.gather(*tasks)

    for rate, (_, done_s) in zip(rates, net.run(main), strict=True):
        assert done_s == pytest.approx(0.0 if math.isinf(rate) else 4.0, abs=0.02)
