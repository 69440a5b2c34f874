"""Snapshots: published, conditionally fetched, validated, kept."""

from __future__ import annotations

import json

import pytest

from systems.streaming.content.catalogue import TITLES
from systems.streaming.control.catalog import encode_snapshot
from systems.streaming.control.snapshot import DISK_KEY, InvalidSnapshot, SnapshotFeed, parse_snapshot
from tests.streaming.service_world import ask, nodes, viewer
from tests.support.local_host import LocalWorld


async def test_the_service() -> None:
    async with LocalWorld(nodes("catalog-east-1")) as world:
        v, node = viewer(world), "catalog-east-1"
        status, body, headers = await ask(v, node, "/snapshot")
        assert status == 200
        assert [title["id"] for title in body["titles"]] == [title.id for title in TITLES]
        status, _, _ = await ask(v, node, "/snapshot", headers={"If-None-Match": headers["ETag"]})
        assert status == 304
        status, title, _ = await ask(v, node, f"/titles/{TITLES[3].id}")
        assert (status, title["segments"]) == (200, TITLES[3].segments)
        assert (await ask(v, node, "/titles/nothing"))[0] == 404


async def test_a_reader_keeps_the_last_good_snapshot_also_over_a_restart() -> None:
    async with LocalWorld(nodes("catalog-east-1")) as world:
        reader = viewer(world)
        feed = SnapshotFeed(reader)
        await feed.start()
        good = feed.current
        assert good is not None
        assert good.popular[0] == TITLES[0].id
        await feed.refresh()
        assert feed.current is good, "304: nothing changed"
        await world.stop("catalog-east-1")
        await feed.refresh()
        assert feed.current is good
        restarted = SnapshotFeed(reader)
        await restarted.start()
        assert restarted.current == good
        await reader.disk.write(DISK_KEY, b"{torn")
        torn = SnapshotFeed(reader)
        started_s = reader.clock.now()
        await torn.start()
        assert (torn.current, torn.rejected) == (None, 1)
        assert reader.clock.now() - started_s < 10, "a service starts also without the catalogue"


def published(**changes: object) -> bytes:
    return json.dumps({**json.loads(encode_snapshot()[1]), **changes}).encode()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"[]", "version"),
        (published(version=""), "version"),
        (published(titles=[]), "0 titles"),
        (published(titles=[{"id": "a", "segments": 1, "genre": "drama"}]), "1 titles"),
        (published(titles=[{"id": "", "segments": 1, "genre": "drama"}]), "not a title"),
        (published(titles=[{"id": "a", "segments": 0, "genre": "drama"}]), "not a title"),
    ],
)
def test_an_implausible_snapshot_is_refused(body: bytes, reason: str) -> None:
    previous = parse_snapshot(encode_snapshot()[1], None)
    with pytest.raises(InvalidSnapshot, match=reason):
        parse_snapshot(body, previous)


def test_a_snapshot_may_lose_a_few_titles() -> None:
    previous = parse_snapshot(encode_snapshot()[1], None)
    titles = json.loads(encode_snapshot()[1])["titles"]
    kept = round(len(titles) * 0.9)
    assert len(parse_snapshot(published(titles=titles[:kept]), previous).titles) == kept
