"""The ranker: personal, stable, complete, popularity for strangers."""

from __future__ import annotations

import numpy as np

from systems.streaming.content.catalogue import TITLES
from systems.streaming.control.recommender import RANKED, embedding, rank
from tests.streaming.service_world import ask, nodes, viewer
from tests.support.local_host import LocalWorld


def test_rankings() -> None:
    ids = {title.id for title in TITLES}
    rankings = [rank(f"account-{n}") for n in range(50)]
    for ranking in rankings:
        assert len(set(ranking)) == len(ranking) == RANKED
        assert set(ranking) <= ids
    assert len({tuple(r) for r in rankings}) == 50
    assert rank("new-1") == [title.id for title in TITLES[:RANKED]]


def test_popular_titles_are_recommended_more_often() -> None:
    top = {title.id for title in TITLES[:30]}
    hits = [len(top & set(rank(f"account-{n}"))) for n in range(100)]
    assert np.mean(hits) > 1.5 * 30 * RANKED / len(TITLES)


def test_embeddings_depend_on_the_name_only() -> None:
    first = embedding("account-1").copy()
    embedding.cache_clear()
    assert np.array_equal(first, embedding("account-1"))
    assert np.linalg.norm(first) == 1.0 or abs(np.linalg.norm(first) - 1.0) < 1e-12


async def test_the_service() -> None:
    async with LocalWorld(nodes("recommender-east-1")) as world:
        v, node = viewer(world), "recommender-east-1"
        status, body, _ = await ask(v, node, "/rank", params={"account": "account-1"})
        assert (status, body["titles"]) == (200, rank("account-1"))
        assert (await ask(v, node, "/rank"))[0] == 400
