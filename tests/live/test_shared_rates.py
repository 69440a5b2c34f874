"""Rates that several connections share, live through proxies: a client's access, a link, a fault's limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from harness.faults.primitives import EndpointMatch, LinkShape, PathMatch
from harness.live.run_lock import STATE_VARIABLE
from harness.live.runtime import LiveRuntime
from harness.runtime.contract import RunSettings, Session
from harness.system import Access, Client, Host
from tests.support.blob_system import BLOB_BYTES, system

pytestmark = pytest.mark.live

FAST = Access(down_bps=800e6, up_bps=800e6, rtt_s=0.002)
LATE_S = 1.0
"""How much longer it may take on a busy machine; it may never be quicker."""

FROM_BLOB = PathMatch(EndpointMatch(nodes=frozenset({"blob-1"})), EndpointMatch(everything=True))


@asynccontextmanager
async def clients(session: Session, *accesses: Access, zone: str = "here") -> AsyncIterator[list[Host]]:
    async with AsyncExitStack() as held:
        yield [
            await held.enter_async_context(session.client(Client(f"c{n}", zone, "fast", access), "getter"))
            for n, access in enumerate(accesses)
        ]


async def get(host: Host) -> float:
    """How long one blob takes, in s."""
    began_s = time.perf_counter()
    async with host.http("blob-1").get("/blob") as answer:
        assert len(await answer.read()) == BLOB_BYTES
    return time.perf_counter() - began_s


async def get_all(*hosts: Host) -> list[float]:
    """At the same time, each on a connection of its own."""
    return await asyncio.gather(*(get(host) for host in hosts))


def near(took_s: list[float], rate_bps: float, blobs: int) -> None:
    """All of them shared this rate to the end."""
    expected_s = blobs * BLOB_BYTES * 8 / rate_bps
    assert 0.95 * expected_s <= max(took_s) <= expected_s + LATE_S
    assert min(took_s) >= 0.8 * expected_s  # nobody was served first


async def access(session: Session) -> None:
    """A client's own rate is that of all its connections together."""
    narrow = Access(down_bps=1.6e6, up_bps=1.6e6, rtt_s=0.002)
    async with clients(session, narrow, narrow) as (one, other):
        near(await get_all(one, one, other, other), 1.6e6, 2)


async def pair(session: Session) -> None:
    """A fault's limit holds for each pair of hosts."""
    async with clients(session, FAST, FAST) as (one, other):
        applied = await session.primitives.shape(FROM_BLOB, LinkShape(bandwidth_bps=1.6e6))
        near(await get_all(one, one, other, other), 1.6e6, 2)
        await applied.undo()
        assert applied.exposure().bytes >= 4 * BLOB_BYTES


async def shared(session: Session) -> None:
    """`shared`: for all of them together."""
    async with clients(session, FAST, FAST) as (one, other):
        applied = await session.primitives.shape(FROM_BLOB, LinkShape(bandwidth_bps=3.2e6, shared=True))
        near(await get_all(one, one, other, other), 3.2e6, 4)
        await applied.undo()


async def link(session: Session) -> None:
    """A link of the topology, for everybody whose way leads over it."""
    async with clients(session, FAST, FAST, zone="there") as (one, other):
        near(await get_all(one, one, other), 3.2e6, 3)


LOOKS = (access, pair, shared, link)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, BaseException | None]]:
    """All of them in one run: what each raised."""
    found: dict[str, BaseException | None] = {}

    async def body(session: Session) -> None:
        for look in LOOKS:
            try:
                await look(session)
            except BaseException as error:  # told by its own test
                found[look.__name__] = error
            else:
                found[look.__name__] = None

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STATE_VARIABLE, str(tmp_path_factory.mktemp("state")))
        LiveRuntime().run(RunSettings(system, 1, reference="tests.support.blob_system:system"), body)
        yield found


@pytest.mark.parametrize("look", [look.__name__ for look in LOOKS])
def test_what_is_shared(outcomes: dict[str, BaseException | None], look: str) -> None:
    if (error := outcomes[look]) is not None:
        raise error
