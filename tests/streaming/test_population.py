"""Who watches."""

from __future__ import annotations

import random
import statistics
from collections import Counter

import pytest

from harness.system import Client
from systems.streaming.content.catalogue import TITLES
from systems.streaming.content.classes import BY_NAME
from systems.streaming.player import population
from systems.streaming.player.population import MIXES, make, viewers

MANY = 3000


def drawn(mix: str, n: int = MANY) -> list[Client]:
    return [make(random.Random(f"{mix}/{index}"), mix, index) for index in range(n)]


def shares(clients: list[Client]) -> dict[str, float]:
    return {name: count / len(clients) for name, count in Counter(c.group for c in clients).items()}


def test_the_home_mix_has_the_shares_of_the_classes() -> None:
    found = shares(drawn("home"))
    whole = sum(network.share for network in BY_NAME.values())
    for name, network in BY_NAME.items():
        assert found[name] == pytest.approx(network.share / whole, abs=0.03)


def test_the_even_mix_has_every_class_alike() -> None:
    found = shares(drawn("even"))
    assert set(found) == set(BY_NAME)
    assert all(share == pytest.approx(0.2, abs=0.03) for share in found.values())


@pytest.mark.parametrize(
    ("mix", "classes"), [("fixed", {"fibre", "dsl"}), ("mobile", {"4g", "4g-congested", "3g"})]
)
def test_other_mixes_have_only_their_classes(mix: str, classes: set[str]) -> None:
    assert set(shares(drawn(mix, 300))) == classes


def test_every_declared_mix_can_be_drawn_and_no_other() -> None:
    assert set(viewers.mixes) == set(MIXES)
    for mix in MIXES:
        client = make(random.Random(1), mix, 0)
        assert client.group in viewers.groups
        assert client.zone in viewers.zones
    with pytest.raises(KeyError):
        make(random.Random(1), "nobody", 0)


def test_the_same_viewer_is_drawn_from_the_same_stream() -> None:
    assert make(random.Random(5), "home", 7) == make(random.Random(5), "home", 7)


def test_watching_times_are_log_normal_within_their_bounds() -> None:
    watch_s = [client.params["watch_s"] for client in drawn("home")]
    assert statistics.median(watch_s) == pytest.approx(population.WATCH_MEDIAN_S, rel=0.05)
    assert min(watch_s) >= population.WATCH_LEAST_S
    assert max(watch_s) <= population.WATCH_MOST_S
    assert statistics.mean(watch_s) > statistics.median(watch_s)


def test_popular_titles_are_asked_for_more_often() -> None:
    asked = Counter(client.params["title"] for client in drawn("home"))
    first, tenth = asked[TITLES[0].id], asked[TITLES[9].id]
    assert first / tenth == pytest.approx(10**population.ZIPF, rel=0.5)
    assert set(asked) <= {title.id for title in TITLES}
    assert len(asked) > 150


def test_most_come_signed_in() -> None:
    signed_in = [client.params["signed_in"] for client in drawn("home")]
    assert sum(signed_in) / len(signed_in) == pytest.approx(population.SIGNED_IN, abs=0.02)


def test_names_are_unique() -> None:
    assert len({client.name for client in drawn("home", 200)}) == 200
