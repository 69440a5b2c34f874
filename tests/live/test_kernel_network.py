"""What is real with the kernel network: connects that hang, packets that are lost, rates that are shared."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from harness.faults.primitives import Applied, ClientMatch, EndpointMatch, HttpRule, LinkShape, PathMatch
from harness.live.options import LiveOptions
from harness.live.run_lock import STATE_VARIABLE
from harness.live.runtime import LiveRuntime
from harness.runtime.contract import RunSettings, Session
from harness.system import Access, Client, Host
from tests.live.bulk_system import NARROW_BPS, system
from tests.live.support import machine_devices, remains, require_kernel

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("devices")]

WIDE = Access(down_bps=1e12, up_bps=1e12, rtt_s=0.002)
HOME_BPS = 16e6
HOME = Access(down_bps=HOME_BPS, up_bps=HOME_BPS / 4, rtt_s=0.002)
FOR_S = 1.0
"""How long rates are measured."""
MEASUREMENTS, MIN_AGREEING = 3, 2
"""How often rates are measured at most, and how many of the measurements must agree with the limit."""

CLIENTS = EndpointMatch(clients=ClientMatch())
ONE, TWO = EndpointMatch(nodes=frozenset({"store-1"})), EndpointMatch(nodes=frozenset({"store-2"}))
STORES = EndpointMatch(nodes=frozenset({"store-1", "store-2"}))


class Shopfloor:
    """Two clients without limits and one behind a home connection, and the running system."""

    def __init__(self, session: Session, a: Host, b: Host, home: Host) -> None:
        self.session = session
        self.primitives = session.primitives
        self.a, self.b, self.home = a, b, home
        self.downloads = 0

    async def ask(self, host: Host, node: str, timeout_s: float = 1.0, n_bytes: int = 100) -> str:
        """The status, or the name of the error: ConnectionTimeoutError only where a connect was left unanswered."""
        limit = aiohttp.ClientTimeout(total=2 * timeout_s, sock_connect=timeout_s, sock_read=timeout_s)
        try:
            async with host.http(node).get(f"/bytes/{n_bytes}", timeout=limit) as answer:
                await answer.read()
                return str(answer.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            return type(error).__name__

    async def took_s(self, host: Host, node: str, n_bytes: int) -> float:
        began_s = time.perf_counter()
        assert await self.ask(host, node, 30, n_bytes) == "200"
        return time.perf_counter() - began_s

    async def assert_rates(self, hold: Callable[[list[float]], bool], *downloads: tuple[Host, str]) -> None:
        """Most of the measurements fit. (A client of a busy machine reads late: too little at first, then too much.)"""
        found: list[list[float]] = []
        while (fitting := sum(map(hold, found))) < MIN_AGREEING:
            assert len(found) - fitting <= MEASUREMENTS - MIN_AGREEING, found
            found.append(await self.rates_bps(*downloads))

    async def rates_bps(self, *downloads: tuple[Host, str]) -> list[float]:
        """Of endless downloads at the same time, each over a connection of its own, once they are under way."""
        received = [0] * len(downloads)
        self.downloads += len(downloads)

        async def download(index: int, host: Host, node: str) -> None:
            async with host.http(node).get("/stream") as answer:
                async for data in answer.content.iter_any():
                    received[index] += len(data)

        tasks = [asyncio.ensure_future(download(i, *each)) for i, each in enumerate(downloads)]
        await asyncio.sleep(0.5)
        before, began_s = list(received), time.perf_counter()
        await asyncio.sleep(FOR_S)
        took_s = time.perf_counter() - began_s
        rates = [(now - then) * 8 / took_s for now, then in zip(received, before, strict=True)]
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)
        return rates


@asynccontextmanager
async def in_force(applying: Awaitable[Applied]) -> AsyncIterator[Applied]:
    applied = await applying
    try:
        yield applied
    finally:
        await applied.undo()


def near(value: float, wanted: float, share: float = 0.1) -> bool:
    return abs(value - wanted) <= share * wanted


async def a_cut_connect_hangs(floor: Shopfloor) -> None:
    """Not accepted and not refused: SYNs are lost. What comes afterwards is answered."""
    async with in_force(floor.primitives.cut(PathMatch(CLIENTS, ONE))) as applied:
        assert await floor.ask(floor.a, "store-1", 0.5) == "ConnectionTimeoutError"
    assert applied.exposure().connects_blocked == 1
    assert applied.exposure().connections == 0
    assert await floor.ask(floor.a, "store-1") == "200"


async def a_cut_one_way(floor: Shopfloor) -> None:
    """Requests arrive, answers do not: the server has done its work all the same."""
    assert await floor.ask(floor.a, "store-1") == "200"
    async with (
        in_force(floor.primitives.interfere("store-1", HttpRule(delay_s=0.001))) as counting,
        in_force(floor.primitives.cut(PathMatch(ONE, CLIENTS))) as applied,
    ):
        assert await floor.ask(floor.a, "store-1", 0.5) == "SocketTimeoutError"
    assert counting.exposure().requests == 1
    assert applied.exposure().connections == 1
    async with (
        in_force(floor.primitives.interfere("store-1", HttpRule(delay_s=0.001))) as counting,
        in_force(floor.primitives.cut(PathMatch(CLIENTS, ONE))),
    ):
        assert await floor.ask(floor.b, "store-1", 0.5) == "ConnectionTimeoutError"
    assert counting.exposure().requests == 0


async def a_cut_of_one_client_leaves_the_other(floor: Shopfloor) -> None:
    async with in_force(floor.primitives.cut(PathMatch(EndpointMatch(nodes=frozenset({"a"})), ONE))):
        assert await floor.ask(floor.a, "store-1", 0.5) == "ConnectionTimeoutError"
        assert await floor.ask(floor.b, "store-1", 0.5) == "200"
        assert await floor.ask(floor.a, "store-2", 0.5) == "200"


async def a_connect_to_a_machine_without_power_hangs(floor: Shopfloor) -> None:
    """And a connection from before is reset once the machine is back: it knows nothing of it."""
    assert await post(floor.a, "store-2") == "200"
    async with in_force(floor.primitives.power_off("store-2")) as off:
        assert await floor.ask(floor.b, "store-2", 0.5) == "ConnectionTimeoutError"
        stale = asyncio.ensure_future(post(floor.a, "store-2"))
        await asyncio.sleep(0.3)
        assert not stale.done()
    assert await stale == "ClientOSError: Connection reset by peer"
    assert off.exposure().connects_blocked == 1
    assert await floor.ask(floor.b, "store-2") == "200"


async def post(host: Host, node: str) -> str:
    """Not repeated by aiohttp on a connection that turns out to be dead."""
    try:
        async with host.http(node).post("/", data=b"x", timeout=aiohttp.ClientTimeout(total=10)) as answer:
            return str(answer.status)
    except aiohttp.ClientOSError as error:
        return f"{type(error).__name__}: {error.strerror}"


async def loss_slows_a_transfer(floor: Shopfloor) -> None:
    n_bytes = 400_000
    before_s = await floor.took_s(floor.a, "store-1", n_bytes)
    async with in_force(floor.primitives.shape(PathMatch(ONE, CLIENTS), LinkShape(loss=0.2))) as applied:
        during_s = await floor.took_s(floor.a, "store-1", n_bytes)
    assert during_s > 3 * before_s
    exposure = applied.exposure()
    assert exposure.connections == 1
    # Every packet of the wire is lost by itself: of 280 that have to arrive, 70 are lost on the way.
    assert 0.1 * n_bytes < exposure.bytes < 0.6 * n_bytes
    assert await floor.took_s(floor.a, "store-1", n_bytes) < 2 * before_s + 0.1


async def a_pair_shares_its_rate(floor: Shopfloor) -> None:
    """Two connections between the same two hosts share a limit; another pair has its own."""
    downloads = floor.downloads
    limit = LinkShape(bandwidth_bps=20e6)
    three = [(floor.a, "store-1"), (floor.a, "store-1"), (floor.b, "store-1")]
    async with in_force(floor.primitives.shape(PathMatch(ONE, CLIENTS), limit)) as applied:
        await floor.assert_rates(lambda bps: near(bps[0] + bps[1], 20e6) and near(bps[2], 20e6), *three)
    assert applied.exposure().connections == floor.downloads - downloads


async def everything_shares_a_shared_rate(floor: Shopfloor) -> None:
    """Several pairs of hosts, one limit; afterwards all are free."""
    limit = LinkShape(bandwidth_bps=30e6, shared=True)
    pairs = [(floor.a, "store-1"), (floor.b, "store-1"), (floor.a, "store-2"), (floor.b, "store-2")]
    async with in_force(floor.primitives.shape(PathMatch(STORES, CLIENTS), limit)):
        await floor.assert_rates(lambda bps: near(sum(bps), 30e6), *pairs)
    await floor.assert_rates(lambda bps: sum(bps) > 100e6, *pairs)


async def two_limits_at_a_time(floor: Shopfloor) -> None:
    """The narrower one is what is left, whichever came first."""
    back = PathMatch(ONE, CLIENTS)
    both = [(floor.a, "store-1"), (floor.b, "store-1")]
    async with in_force(floor.primitives.shape(back, LinkShape(bandwidth_bps=40e6, shared=True))):
        async with in_force(floor.primitives.shape(back, LinkShape(bandwidth_bps=10e6))):
            await floor.assert_rates(lambda bps: near(bps[0], 10e6) and near(bps[1], 10e6), *both)
        await floor.assert_rates(lambda bps: near(sum(bps), 40e6), *both)


async def connections_of_a_client_share_its_access(floor: Shopfloor) -> None:
    home = [(floor.home, "store-1"), (floor.home, "store-2")]
    await floor.assert_rates(lambda bps: near(sum(bps), HOME_BPS), *home)
    wide = [(floor.a, "store-1"), (floor.a, "store-2")]
    await floor.assert_rates(lambda bps: sum(bps) > 100e6, *wide)


async def clients_share_a_link_of_the_topology(floor: Shopfloor) -> None:
    far = [(floor.a, "store-far"), (floor.b, "store-far")]
    await floor.assert_rates(lambda bps: near(sum(bps), NARROW_BPS), *far)


async def uploads_are_limited_too(floor: Shopfloor) -> None:
    began_s = time.perf_counter()
    async with floor.home.http("store-1").post("/", data=bytes(1_000_000)) as answer:
        assert await answer.text() == "1000000"
    assert near(1_000_000 * 8 / (time.perf_counter() - began_s), HOME_BPS / 4, 0.15)


async def a_client_that_comes_during_a_fault_is_under_it(floor: Shopfloor) -> None:
    async with floor.session.client(Client("late", "near", "wide", WIDE), "shopper") as late:
        async with in_force(floor.primitives.cut(PathMatch(CLIENTS, STORES))) as applied:
            assert await floor.ask(late, "store-1", 0.5) == "ConnectionTimeoutError"
        assert await floor.ask(late, "store-1") == "200"
    assert applied.exposure().connects_blocked == 1


LOOKS: Sequence[Callable[[Shopfloor], Awaitable[None]]] = (
    a_cut_connect_hangs,
    a_cut_one_way,
    a_cut_of_one_client_leaves_the_other,
    a_connect_to_a_machine_without_power_hangs,
    loss_slows_a_transfer,
    a_pair_shares_its_rate,
    everything_shares_a_shared_rate,
    two_limits_at_a_time,
    connections_of_a_client_share_its_access,
    clients_share_a_link_of_the_topology,
    uploads_are_limited_too,
    a_client_that_comes_during_a_fault_is_under_it,
)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BaseException | None]:
    """All of them in one run: what each raised."""
    require_kernel()
    found: dict[str, BaseException | None] = {}

    async def body(session: Session) -> None:
        for look in LOOKS:
            async with (
                session.client(Client("a", "near", "wide", WIDE), "shopper") as a,
                session.client(Client("b", "near", "wide", WIDE), "shopper") as b,
                session.client(Client("home", "near", "home", HOME), "shopper") as home,
            ):
                try:
                    await look(Shopfloor(session, a, b, home))
                except Exception as error:
                    found[look.__name__] = error
                else:
                    found[look.__name__] = None

    state = tmp_path_factory.mktemp("state")
    with machine_devices(changes=False), pytest.MonkeyPatch.context() as patch:
        before = of_the_machine()
        patch.setenv(STATE_VARIABLE, str(state))
        LiveRuntime(LiveOptions("kernel")).run(
            RunSettings(system, 1, reference="tests.live.bulk_system:system"), body
        )
        assert not remains(state)
        assert of_the_machine() == before
    return found


def of_the_machine() -> tuple[str, list[str], set[str]]:
    """What a run must leave as it was: this process's own namespace, the devices in it, the namespaces that this
    process keeps alive."""
    kept = {
        os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink() and link.exists()
    }
    devices = sorted(
        line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]
    )
    return os.readlink("/proc/self/ns/net"), devices, {link for link in kept if link.startswith("net:")}


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: str(look.__name__))
def test_kernel(look: Callable[[Shopfloor], object], outcomes: dict[str, BaseException | None]) -> None:
    error = outcomes[look.__name__]
    if error is not None:
        raise error
