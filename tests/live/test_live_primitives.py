"""Every primitive on real processes: what a client sees while it is in force, and after.

One system, one run with each network: the same looks, but for what a network can or cannot do.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator

import aiohttp
import pytest

from harness.faults.exposure import Exposure
from harness.faults.primitives import (
    Applied,
    EndpointMatch,
    FaultFailed,
    HttpRule,
    LinkShape,
    PathMatch,
)
from harness.live.options import LiveOptions, Network
from harness.live.processes import marked
from harness.live.run_lock import STATE_VARIABLE
from harness.live.runtime import LiveRuntime, LiveSession
from harness.runtime.contract import RunSettings, Session
from harness.system import Access, Client, Host
from tests.live.support import living_processes, remains, require_kernel
from tests.support.toy_system import system

pytestmark = pytest.mark.live

NEAR = Access(down_bps=100e6, up_bps=20e6, rtt_s=0.01)
TIMEOUT_S = 0.6

SHOPPERS = EndpointMatch(nodes=frozenset({"shopper"}))
GATEWAYS = EndpointMatch(nodes=frozenset({"gateway-east", "gateway-west"}))
TO_GATEWAYS = PathMatch(SHOPPERS, GATEWAYS)
BACKEND = "backend-east"


class Shop:
    """A client of the running system that asks one backend directly."""

    def __init__(self, session: LiveSession, host: Host, network: Network) -> None:
        self.network = network
        self.session = session
        self.primitives = session.primitives
        self.host = host

    async def ask(self, timeout_s: float = TIMEOUT_S, *, of: str = BACKEND, path: str = "/offers") -> str:
        """The status, or the name of the error."""
        return await self._ask(aiohttp.ClientTimeout(total=timeout_s), of=of, path=path)

    async def _ask(self, timeout: aiohttp.ClientTimeout, *, of: str = BACKEND, path: str = "/offers") -> str:
        try:
            async with self.host.http(of).get(path, timeout=timeout) as answer:
                await answer.read()
                return str(answer.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            return type(error).__name__

    async def connect(self, timeout_s: float) -> str:
        """Ask, with no patience but for the connection."""
        return await self._ask(aiohttp.ClientTimeout(total=None, sock_connect=timeout_s))

    async def starts(self) -> int:
        async with self.host.http(BACKEND).get("/offers") as answer:
            starts: int = (await answer.json())["starts"]
            return starts

    async def took_s(self) -> float:
        began_s = time.perf_counter()
        assert await self.ask(5.0) == "200"
        return time.perf_counter() - began_s

    async def during(self, applying: Awaitable[Applied], look: Callable[[], Awaitable[object]]) -> Exposure:
        applied = await applying
        try:
            await look()
        finally:
            await applied.undo()
        return applied.exposure()


to_backend = PathMatch(SHOPPERS, EndpointMatch(nodes=frozenset({BACKEND})))


async def base(shop: Shop) -> None:
    """The topology's own latency is there: 10 ms to the zone, 0.2 ms to the node, 5 to 15 ms of work."""
    assert await shop.ask() == "200"
    quickest_s = min([await shop.took_s() for _ in range(5)])
    assert 0.015 <= quickest_s < 0.1


async def latency(shop: Shop) -> None:
    async def look() -> None:
        assert await shop.took_s() >= 0.3

    exposure = await shop.during(shop.primitives.shape(to_backend, LinkShape(latency_s=0.3)), look)
    assert exposure.connections == 1
    assert exposure.bytes > 50
    assert await shop.took_s() < 0.2


async def bandwidth(shop: Shop) -> None:
    """Its answers are a few hundred bytes: at 8 kbit/s, 1,000 bytes a second.

    A kernel's queue that has been idle lets one packet pass at once; the next one has to wait.
    """

    async def look() -> None:
        if shop.network == "kernel":
            await shop.took_s()
        assert await shop.took_s() >= 0.15

    back = to_backend.reversed()
    exposure = await shop.during(shop.primitives.shape(back, LinkShape(bandwidth_bps=8e3)), look)
    assert exposure.bytes > 150


async def loss(shop: Shop) -> None:
    if shop.network == "kernel":
        return await loss_is_real(shop)
    with pytest.raises(FaultFailed, match="loss"):
        await shop.primitives.shape(to_backend, LinkShape(loss=0.1))
    assert await shop.took_s() < 0.2
    return None


async def loss_is_real(shop: Shop) -> None:
    """Of fifty answers one or the other needs a retransmission (200 ms at least); counted by the kernel."""

    async def look() -> None:
        assert max([await shop.took_s() for _ in range(50)]) >= 0.2

    exposure = await shop.during(shop.primitives.shape(to_backend.reversed(), LinkShape(loss=0.3)), look)
    assert exposure.connections == 1
    assert exposure.bytes >= 3 * 200
    assert await shop.took_s() < 0.2


async def a_loss_that_meets_nothing_is_not_exposed(shop: Shop) -> None:
    if shop.network == "kernel":
        nothing = PathMatch(EndpointMatch(nodes=frozenset({"backend-west"})), SHOPPERS)
        applied = await shop.primitives.shape(nothing, LinkShape(loss=0.5))
        assert await shop.ask() == "200"
        await applied.undo()
        assert not applied.exposure().touched


async def cut(shop: Shop) -> None:
    """Silence; what was sent meanwhile arrives when it ends."""
    pending: list[asyncio.Task[str]] = []

    async def look() -> None:
        assert await shop.ask() == "TimeoutError"
        pending.append(asyncio.ensure_future(shop.ask(5.0)))
        await asyncio.sleep(0.2)
        assert not pending[0].done()

    exposure = await shop.during(shop.primitives.cut(to_backend), look)
    assert await pending[0] == "200"
    assert exposure.touched
    if shop.network == "kernel":
        assert exposure.connects_blocked == 1
    assert exposure.connects_blocked >= 1
    assert await shop.ask() == "200"


async def a_connect_into_silence_times_out(shop: Shop) -> None:
    """It is not accepted by somebody on the way; and it comes through when the silence ends, as TCP repeats it."""
    for silence in (shop.primitives.cut(to_backend.reversed()), shop.primitives.power_off(BACKEND)):
        pending: list[asyncio.Task[str]] = []

        async def look(pending: list[asyncio.Task[str]] = pending) -> None:
            assert await shop.ask() == "TimeoutError"
            assert await shop.connect(0.2) == "ConnectionTimeoutError"
            pending.append(asyncio.ensure_future(shop.connect(10.0)))
            await asyncio.sleep(0.1)

        exposure = await shop.during(silence, look)
        assert exposure.connects_blocked >= 2
        assert await pending[0] == "200"


async def cut_of_a_group(shop: Shop) -> None:
    """Gateways are cut off, backends are not."""

    async def look() -> None:
        assert await shop.ask(of="gateway", path="/home") == "TimeoutError"
        assert await shop.ask() == "200"

    await shop.during(shop.primitives.cut(TO_GATEWAYS.reversed()), look)
    assert await shop.ask(of="gateway", path="/home") == "200"


async def reset(shop: Shop) -> None:
    """A request that waits for its answer sees the reset; the next one opens a connection of its own."""
    hold = await shop.primitives.interfere(BACKEND, HttpRule(delay_s=1.0))
    try:
        pending = asyncio.ensure_future(shop.ask(5.0))
        await asyncio.sleep(0.2)
        applied = await shop.primitives.reset(to_backend)
        assert applied.exposure().resets >= 1
        # aiohttp repeats a request on a kept-alive connection once: the repetition is soon under way.
        await asyncio.sleep(0.2)
        await shop.primitives.reset(to_backend)
        assert await pending == "ClientOSError"
        await applied.undo()
    finally:
        await hold.undo()
    assert await shop.ask() == "200"


async def kill(shop: Shop) -> None:
    """Refused at once, not left waiting; the disk outlives the process, the service starts again."""
    before = await shop.starts()

    async def look() -> None:
        assert await shop.ask() in ("ServerDisconnectedError", "ClientConnectorError")
        assert await shop.ask() == "ClientConnectorError"

    exposure = await shop.during(shop.primitives.kill(BACKEND), look)
    assert exposure.connections >= 1
    assert exposure.connects_blocked >= 1
    assert await shop.starts() == before + 1


async def power_off(shop: Shop) -> None:
    """Silence, on open connections and on new ones."""
    before = await shop.starts()

    async def look() -> None:
        assert await shop.ask() == "TimeoutError"
        assert await shop.ask() == "TimeoutError"

    exposure = await shop.during(shop.primitives.power_off(BACKEND), look)
    assert exposure.touched
    assert await shop.starts() == before + 1


async def kill_within_power_off(shop: Shop) -> None:
    """Faults overlap: it stays down until the last is gone."""
    off = await shop.primitives.power_off(BACKEND)
    down = await shop.primitives.kill(BACKEND)
    assert await shop.ask() == "TimeoutError"
    await off.undo()
    assert await shop.ask() != "200"
    assert await shop.ask() == "ClientConnectorError"
    await down.undo()
    assert await shop.ask() == "200"


async def pause(shop: Shop) -> None:
    before = await shop.starts()
    pending: list[asyncio.Task[str]] = []

    async def look() -> None:
        pending.append(asyncio.ensure_future(shop.ask(5.0)))
        await asyncio.sleep(0.3)
        assert not pending[0].done()

    exposure = await shop.during(shop.primitives.pause(BACKEND), look)
    assert await pending[0] == "200"
    assert exposure.bytes > 0
    assert await shop.starts() == before


async def interfere(shop: Shop) -> None:
    """In force also in a process that is started later; counted over both."""
    applied = await shop.primitives.interfere(BACKEND, HttpRule(route="/off*", status=503))
    assert await shop.ask() == "503"
    killed = await shop.primitives.kill(BACKEND)
    await killed.undo()
    assert await shop.ask() == "503"
    await applied.undo()
    assert applied.exposure() == Exposure(requests=2)
    assert await shop.ask() == "200"


async def start(shop: Shop) -> None:
    killed = await shop.primitives.kill(BACKEND)
    await shop.primitives.start(BACKEND)
    assert await shop.ask() == "200"
    await killed.undo()
    assert await shop.ask() == "200"


async def unknown_node(shop: Shop) -> None:
    with pytest.raises(FaultFailed, match=r"nobody.*gateway-east"):
        await shop.primitives.kill("nobody")


async def a_service_that_dies_by_itself_is_a_failure(shop: Shop) -> None:
    """Last: nobody starts it again."""
    assert list(shop.session.failures) == []
    (pid,) = [pid for pid, what in living_processes(shop.session.workspace).items() if what == "backend-west"]
    os.kill(pid, 9)
    for _ in range(250):
        if shop.session.failures:
            break
        await asyncio.sleep(0.02)
    (failure,) = shop.session.failures
    assert failure.host == "backend-west"
    assert "killed by SIGKILL" in failure.error


LOOKS = (
    base,
    latency,
    bandwidth,
    loss,
    a_loss_that_meets_nothing_is_not_exposed,
    cut,
    a_connect_into_silence_times_out,
    cut_of_a_group,
    reset,
    kill,
    power_off,
    kill_within_power_off,
    pause,
    interfere,
    start,
    unknown_node,
    a_service_that_dies_by_itself_is_a_failure,
)


@pytest.fixture(scope="module", params=["proxy", "kernel"])
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, BaseException | None]]:
    """All of them in one run: what each raised."""
    network: Network = request.param
    if network == "kernel":
        require_kernel()
    found: dict[str, BaseException | None] = {}

    async def body(session: Session) -> None:
        assert isinstance(session, LiveSession)
        client = Client("shopper", "east", "fast", NEAR)
        async with session.client(client, "shopper") as host:
            shop = Shop(session, host, network)
            common = 2 if network == "proxy" else 3
            assert len({os.getsid(pid) for pid in marked(session.directory)}) == common + len(
                system.topology.nodes
            )
            for look in LOOKS:
                try:
                    await look(shop)
                except Exception as error:
                    found[look.__name__] = error
                else:
                    found[look.__name__] = None

    state = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STATE_VARIABLE, str(state))
        settings = RunSettings(system, 1, reference="tests.support.toy_system:system")
        LiveRuntime(LiveOptions(network)).run(settings, body)
        assert not remains(state)
        yield found


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: str(look.__name__))
def test_primitive(look: Callable[[Shop], object], outcomes: dict[str, BaseException | None]) -> None:
    error = outcomes[look.__name__]
    if error is not None:
        raise error
