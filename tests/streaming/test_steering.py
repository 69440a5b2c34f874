"""Ranking and health of appliances."""

from __future__ import annotations

from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.system import Host
from systems.streaming.control.steering import LEAST_URLS, MOST_URLS, Appliance, Fleet, rank
from systems.streaming.system import NODES, system
from tests.streaming.service_world import ask, nodes, viewer
from tests.support.local_host import LocalWorld

ISPS = ("isp-a", "isp-b", "isp-c")


def fleet() -> list[Appliance]:
    return [
        Appliance(node.name, node.role, node.zone, holds=frozenset({"t1"}) if node.role == "edge" else None)
        for node in NODES
        if node.role in ("edge", "storage", "origin")
    ]


@settings(deadline=None)
@given(
    st.sampled_from(ISPS),
    st.sampled_from(["t1", "t2", ""]),
    st.sets(st.integers(0, len(fleet()) - 1)),
    st.sets(st.integers(0, len(fleet()) - 1)),
)
def test_lists_have_enough_urls_in_two_domains_and_never_a_foreign_edge(
    isp: str, title: str, dead: set[int], busy: set[int]
) -> None:
    appliances = fleet()
    for index in dead:
        appliances[index].healthy = False
    for index in busy:
        appliances[index].load = 0.95
    chosen = rank(appliances, isp, title)
    assert LEAST_URLS <= len(chosen) <= MOST_URLS + 1
    assert len({a.zone for a in chosen}) >= 2
    assert len({a.name for a in chosen}) == len(chosen)
    assert all(a.zone == isp for a in chosen if a.role == "edge")
    health = [a.healthy for a in chosen]
    assert health == sorted(health, reverse=True), "dead ones come last, if at all"
    if not dead and not busy:
        assert [a.role for a in chosen] == ["edge", "edge", "storage", "storage"]


def test_the_holder_goes_first_and_titles_spread_over_the_cluster() -> None:
    appliances = fleet()
    holder = next(a for a in appliances if a.name == "edge-a-2")
    for a in appliances:
        if a.role == "edge":
            a.holds = frozenset()
    holder.holds = frozenset({"t1"})
    assert rank(appliances, "isp-a", "t1")[0] is holder
    first = [rank(appliances, "isp-a", f"tail-{n}")[0].name for n in range(200)]
    assert 60 < first.count("edge-a-1") < 140
    assert first == [rank(appliances, "isp-a", f"tail-{n}")[0].name for n in range(200)]


def test_a_full_appliance_is_passed_over_while_others_have_room() -> None:
    appliances = fleet()
    first = rank(appliances, "isp-a", "t1")[0]
    first.load = 0.95
    assert rank(appliances, "isp-a", "t1")[0] is not first


def test_hysteresis() -> None:
    appliance = Appliance("edge-a-1", "edge", "isp-a")
    assert [appliance.seen(answer) for answer in (False, True, False)] == [False, False, False]
    assert appliance.seen(False)
    assert not appliance.healthy
    assert not appliance.seen(True)
    assert appliance.seen(True)
    assert appliance.healthy


async def test_it_answers_over_http() -> None:
    async with LocalWorld(nodes("steering-east-1", "edge", "storage", "origin")) as world:
        status, body, _ = await ask(viewer(world), "steering-east-1", "/rank", params={"isp": "isp-b"})
        assert status == 200
        assert {url.removeprefix("http://")[:6] for url in body["urls"]} == {"edge-b", "storag"}
        assert (await ask(viewer(world), "steering-east-1", "/rank"))[0] == 400


def test_every_isp_has_two_appliances_and_every_role_two_regions() -> None:
    for isp in ISPS:
        assert sum(node.zone == isp for node in system.topology.role("edge")) == 2
    for role in ("identity", "catalog", "recommender", "steering", "playback", "gateway"):
        assert {node.zone for node in system.topology.role(role)} == {"region-east", "region-west"}


def watching(dead: set[str]) -> Fleet:
    class Watcher:
        topology = system.topology

        @staticmethod
        def safeguard(name: str) -> bool:
            return True

    fleet = Fleet(cast(Host, Watcher))
    for appliance in fleet.appliances.values():
        appliance.holds = None
        appliance.healthy = appliance.role not in dead and appliance.name not in dead
    return fleet


def roles(urls: list[str]) -> list[str]:
    return [url.removeprefix("http://").split("-")[0] for url in urls]


def test_while_a_tier_answers_the_dead_are_believed_to_be_dead() -> None:
    assert roles(watching({"edge"}).urls("isp-a", "t1"))[0] == "storage"
    assert roles(watching({"edge", "storage"}).urls("isp-a", "t1"))[0] == "origin"
    assert roles(watching({"storage", "origin"}).urls("isp-a", "t1"))[0] == "edge"
    five_of_six = {f"edge-{isp}-{n}" for isp in "abc" for n in (1, 2)} - {"edge-a-1"}
    assert watching(five_of_six).urls("isp-a", "t1")[0] == "http://edge-a-1"


def test_when_no_tier_answers_the_lists_stay_as_they_are() -> None:
    cut_off = watching({"edge", "storage", "origin"}).urls("isp-a", "t1")
    assert cut_off == watching(set()).urls("isp-a", "t1")
