"""Every safeguard makes the difference that it claims: the same scene with it and without it, in virtual time.

The whole topology runs; a caller asks nodes directly. Safeguards that an experiment's ablation arm shows to
matter are not repeated here; the last test holds that none is shown by neither.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from harness.faults.primitives import HttpRule
from harness.runtime.contract import RunSettings, Session
from harness.sim.runtime import SimRuntime
from harness.system import Access, Client, Event, Host
from systems.streaming.content.catalogue import TITLES
from systems.streaming.control.home import BULKHEAD
from systems.streaming.control.tokens import mint
from systems.streaming.delivery import edge as edge_module
from systems.streaming.player.client import Requests
from systems.streaming.records import RequestRow
from systems.streaming.system import SAFEGUARDS, system
from tests.streaming.service_world import ask

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
GATEWAY = "gateway-east-1"
HOT, TAIL = TITLES[0].id, TITLES[-1].id
ACCESS = Access(down_bps=1e9, up_bps=1e9, rtt_s=0.01)
TAKEN_FOR_GRANTED = 5.0
"""Seconds after the start: caches are warm and appliances were polled."""

type Scene[T] = Callable[[Session, Host], Awaitable[T]]


def play[T](scene: Scene[T], without: str = "") -> T:
    """The scene's outcome in a system without the named safeguards (separated by blanks)."""

    async def body(session: Session) -> T:
        await session.clock.sleep(TAKEN_FOR_GRANTED)
        caller = Client("caller", "isp-a", "fibre", ACCESS, {"account": "account-1"})
        async with session.client(caller, "viewer") as host:
            outcome = await scene(session, host)
        assert not session.failures
        return outcome

    return SimRuntime().run(RunSettings(system, 3, frozenset(without.split())), body)


async def took_s(session: Session, request: Awaitable[tuple[int, Any, Any]]) -> tuple[float, int, Any]:
    began_s = session.clock.now()
    status, body, _ = await request
    return session.clock.now() - began_s, status, body


def press_play(host: Host, title: str = HOT) -> Awaitable[tuple[int, Any, Any]]:
    return ask(host, GATEWAY, "/play", method="POST", json={"title": title})


async def slow(session: Session, role: str, delay_s: float, route: str = "*") -> None:
    for node in system.topology.role(role):
        await session.primitives.interfere(node.name, HttpRule(route=route, delay_s=delay_s))


# ------------------------------------------------------------------------------- the gateway


def test_deadline() -> None:
    async def scene(session: Session, host: Host) -> float:
        await slow(session, "recommender", 2.0)
        seconds, status, _ = await took_s(session, ask(host, GATEWAY, "/home"))
        assert status == 200
        return seconds

    assert play(scene) < 0.2
    assert play(scene, "gateway.deadline") > 2.0


def test_breaker() -> None:
    async def scene(session: Session, host: Host) -> int:
        broken = [
            await session.primitives.interfere(node.name, HttpRule(route="/rank", status=500))
            for node in system.topology.role("recommender")
        ]
        for _ in range(60):
            assert (await ask(host, GATEWAY, "/home"))[1]["level"] in ("cached", "popular")
        return sum(rule.exposure().requests for rule in broken)

    assert play(scene) == 20, "from the twentieth failure on the recommender is left alone"
    assert play(scene, "gateway.breaker") == 60


def test_bulkhead() -> None:
    """Calls to a hanging dependency that nothing bounds in time: places run out instead of the gateway."""

    async def scene(session: Session, host: Host) -> int:
        await slow(session, "recommender", 5.0)
        homes = (took_s(session, ask(host, GATEWAY, "/home")) for _ in range(100))
        return sum(seconds > 1.0 for seconds, _, _ in await asyncio.gather(*homes))

    assert play(scene, "gateway.deadline") == BULKHEAD
    assert play(scene, "gateway.deadline gateway.bulkhead gateway.shedding") == 100


def test_retry() -> None:
    """Half of the manifests fail. A few of them are asked for again, as the retry budget allows."""

    async def scene(session: Session, host: Host) -> int:
        for node in system.topology.role("playback"):
            await session.primitives.interfere(
                node.name, HttpRule(route="/manifest", status=500, probability=0.5)
            )
        return [(await press_play(host))[0] for _ in range(6)].count(200)

    assert play(scene, "gateway.manifest_cache") > play(scene, "gateway.manifest_cache gateway.retry")


def test_manifest_cache() -> None:
    """Half of all manifests fail. A start costs no more requests for it, and no viewer notices."""

    async def scene(session: Session, host: Host) -> int:
        await press_play(host)
        broken = [
            await session.primitives.interfere(
                node.name, HttpRule(route="/manifest", status=500, probability=0.5)
            )
            for node in system.topology.role("playback")
        ]
        statuses = [(await press_play(host, TITLES[n].id))[0] for n in range(100)]
        assert sum(rule.exposure().requests for rule in broken) > 30
        return statuses.count(200)

    assert play(scene) == 100
    assert 40 < play(scene, "gateway.manifest_cache") < 90


def test_ejection() -> None:
    """One of two recommenders answers with errors, at once: it is left out after five of them."""

    async def scene(session: Session, host: Host) -> int:
        await session.primitives.interfere("recommender-east-1", HttpRule(route="/rank", status=500))
        pages = [(await ask(host, GATEWAY, "/home"))[1]["level"] for _ in range(100)]
        return pages.count("personalised")

    assert play(scene) >= 90
    assert play(scene, "gateway.ejection") == 0


def test_retry_budget() -> None:
    """A gateway refuses most requests: its clients do not come back, neither to it nor to the other one."""

    async def scene(session: Session, host: Host) -> float:
        async with AsyncExitStack() as crowd:
            asking = []
            for number in range(300):
                config = {"account": "account-2", "home_region": "region-east"}
                visitor = Client(f"visitor-{number}", "isp-a", "fibre", ACCESS, config)
                requests = Requests(await crowd.enter_async_context(session.client(visitor, "viewer")), "s")
                requests.sign_in(mint("account-2", session.clock.now()))
                asking.append(requests.api("home", "GET", "/home?rows=40"))
            await asyncio.gather(*asking)
        rows = [record.row for record in session.records if isinstance(record.row, RequestRow)]
        return len(rows) / 300

    assert play(scene) < 1.5
    assert play(scene, "player.retry_budget") > 2


def test_shedding() -> None:
    """A gateway full of home pages that hang: the last places are kept for those who press play."""

    async def scene(session: Session, host: Host) -> tuple[list[int], list[int]]:
        await slow(session, "recommender", 5.0)
        async with AsyncExitStack() as crowd:
            homes = []
            for number in range(300):
                client = Client(f"visitor-{number}", "isp-a", "fibre", ACCESS, {"account": "account-2"})
                visitor = await crowd.enter_async_context(session.client(client, "viewer"))
                homes.append(asyncio.ensure_future(ask(visitor, GATEWAY, "/home")))
            await session.clock.sleep(1.0)
            plays = [(await press_play(host))[0] for _ in range(5)]
            return [status for status, _, _ in await asyncio.gather(*homes)], plays

    homes, plays = play(scene, "gateway.deadline gateway.bulkhead")
    # Little's law: what of the work of 6 ms a page fits into a queue of 0.3 s before the threshold falls below it.
    assert homes.count(200) == 46
    assert set(plays) == {200}
    homes, plays = play(scene, "gateway.deadline gateway.bulkhead gateway.shedding")
    assert set(homes) == {200}, "nothing is refused, however many there are"


# ------------------------------------------------------------------- steering and appliances


def test_health() -> None:
    async def scene(session: Session, host: Host) -> list[str]:
        await session.primitives.kill("edge-a-1")
        await session.clock.sleep(15.0)
        _, body, _ = await ask(host, "steering-east-1", "/rank", params={"isp": "isp-a", "title": HOT})
        return list(body["urls"])

    assert "http://edge-a-1" not in play(scene)
    assert "http://edge-a-1" in play(scene, "steering.health")


def test_steering_that_starts_anew_hands_out_no_dead_appliance() -> None:
    async def scene(session: Session, host: Host) -> list[str]:
        await session.primitives.kill("edge-a-1")
        restarted = await session.primitives.kill("steering-east-1")
        await session.clock.sleep(1.0)
        await restarted.undo()
        await session.clock.sleep(0.1)
        _, body, _ = await ask(host, "steering-east-1", "/rank", params={"isp": "isp-a", "title": HOT})
        return list(body["urls"])

    assert "http://edge-a-1" not in play(scene)


def test_the_freshest_list_wins() -> None:
    """A kept list of one title is older than that of the whole ISP, and still has an appliance that is dead."""

    async def scene(session: Session, host: Host) -> list[str]:
        assert "http://edge-a-1" in (await press_play(host))[1]["urls"]
        await session.primitives.kill("edge-a-1")
        await session.clock.sleep(30.0)
        for node in system.topology.role("steering"):
            await session.primitives.kill(node.name)
        status, manifest, _ = await press_play(host)
        assert status == 200
        return list(manifest["urls"])

    assert "http://edge-a-1" not in play(scene)


def test_withdrawn_and_returned_are_told() -> None:
    async def scene(session: Session, host: Host) -> dict[str, list[float]]:
        killed = await session.primitives.kill("edge-a-1")
        await session.clock.sleep(20.0)
        await killed.undo()
        await session.clock.sleep(20.0)
        told: dict[str, list[float]] = {}
        for record in session.records:
            if isinstance(record.row, Event) and record.row.name.startswith("steering."):
                assert record.row.fields["node"] == "edge-a-1"
                told.setdefault(record.row.name, []).append(record.t_s)
        return told

    told = play(scene)
    assert {name: len(times) for name, times in told.items()} == {
        "steering.withdrawn": 2,
        "steering.returned": 2,
    }
    assert max(told["steering.withdrawn"]) < TAKEN_FOR_GRANTED + 11
    assert max(told["steering.returned"]) < TAKEN_FOR_GRANTED + 20 + 11


def test_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_module, "CONNECTIONS", 5)

    async def scene(session: Session, host: Host) -> list[int]:
        fetches = [ask(host, "edge-a-1", f"/v/{HOT}/7/{n}") for n in range(1, 9)]
        return [status for status, _, _ in await asyncio.gather(*fetches)]

    statuses = play(scene)
    # Two may be short enough to be in the kernel's hands before the last ones have had their processor time.
    assert statuses.count(200) in (5, 6, 7)
    assert statuses.count(503) == 8 - statuses.count(200)
    assert play(scene, "edge.limit") == [200] * 8


def test_coalescing() -> None:
    async def scene(session: Session, host: Host) -> int:
        fetches = [ask(host, "edge-a-1", f"/v/{TAIL}/5/0") for _ in range(8)]
        assert {status for status, _, _ in await asyncio.gather(*fetches)} == {200}
        return sum(isinstance(r.row, Event) and r.row.name == "edge.miss" for r in session.records)

    assert play(scene) == 1
    assert play(scene, "edge.coalescing") == 8


# -------------------------------------------------------------------------------- the player


def test_player_retry() -> None:
    """Both regions refuse for a moment: whoever tries a third time, a little later, sees the film."""

    async def scene(session: Session, host: Host) -> str:
        refused = [
            await session.primitives.interfere(node.name, HttpRule(route="/play", status=503))
            for node in system.topology.role("gateway")
        ]
        workload = next(each for each in system.workloads if each.name == "viewers")
        params = {
            "account": "account-1",
            "signed_in": False,
            "title": HOT,
            "watch_s": 12.0,
            "home_region": "region-east",
            "abr": "bola",
        }
        viewer = Client("viewer-1", "isp-a", "fibre", ACCESS, params)

        async def watch() -> None:
            async with session.client(viewer, "viewer") as visitor:
                await workload.run(visitor)

        watching = asyncio.ensure_future(watch())
        while sum(rule.exposure().requests for rule in refused) < 2:
            await session.clock.sleep(0.01)
        for rule in refused:
            await rule.undo()
        await watching
        (row,) = [r.row for r in session.records if type(r.row).__name__ == "SessionRow"]
        return str(getattr(row, "outcome"))  # noqa: B009

    assert play(scene) == "completed"
    assert play(scene, "player.retry") == "start_failure"


# --------------------------------------------------------------------------------- all of them


def test_no_safeguard_goes_unshown() -> None:
    in_arms = set()
    for file in EXPERIMENTS.rglob("*.chaos.yaml"):
        in_arms |= set(re.findall(r"without: ([a-z_.]+)", file.read_text()))
    here = set(re.findall(r'play\(scene, "[^"]*?([a-z]+\.[a-z_]+)"\)', Path(__file__).read_text()))
    assert here
    assert {safeguard.name for safeguard in SAFEGUARDS} == in_arms | here
