"""What the player accepts from the control plane."""

from __future__ import annotations

from typing import Any

import pytest

from systems.streaming.player.manifest import BadAnswer, Manifest, read_manifest, read_urls

GOOD: dict[str, Any] = {
    "title": "title-000",
    "segment_s": 4.0,
    "segments": 10,
    "bitrates_kbps": [235, 375],
    "urls": ["http://edge-a-1", "http://storage-1"],
    "ttl_s": 30,
}


def test_a_good_answer() -> None:
    assert read_manifest(GOOD) == Manifest(
        4.0, 10, (235.0, 375.0), ("http://edge-a-1", "http://storage-1"), 30.0
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("segment_s", 0),
        ("segment_s", "4"),
        ("segment_s", None),
        ("segment_s", True),
        ("segment_s", float("nan")),
        ("segments", 2.5),
        ("segments", 0),
        ("ttl_s", -1),
        ("bitrates_kbps", []),
        ("bitrates_kbps", [375, 235]),
        ("bitrates_kbps", [235, "375"]),
        ("bitrates_kbps", 235),
        ("urls", []),
        ("urls", "http://edge-a-1"),
        ("urls", [1]),
        ("urls", ["edge-a-1"]),
    ],
)
def test_a_bad_field_is_named(name: str, value: object) -> None:
    with pytest.raises(BadAnswer, match=name):
        read_manifest({**GOOD, name: value})


def test_all_that_is_missing_is_named() -> None:
    with pytest.raises(BadAnswer, match="segment_s, ttl_s, segments, bitrates_kbps, urls"):
        read_manifest({})


def test_urls_of_a_steering_answer() -> None:
    assert read_urls({"urls": ["http://edge-a-2"], "ttl_s": 30}) == ("http://edge-a-2",)
    with pytest.raises(BadAnswer, match="urls"):
        read_urls({"urls": None})
