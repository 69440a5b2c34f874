"""The titles, the bitrate ladder, and how big and what every segment is. All of it a pure function."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Title:
    """`segments` of `SEGMENT_S` each. The place in `TITLES` is the rank of its popularity."""

    id: str
    segments: int
    genre: str


GENRES = ("drama", "comedy", "sci-fi", "crime")

TITLES = tuple(Title(f"title-{n:03d}", 100 + n % 50, GENRES[n % len(GENRES)]) for n in range(300))

LADDER = (235, 375, 560, 750, 1050, 1750, 2350, 3000)
"""kbit/s: Netflix's fixed H.264 ladder of 2015 up to 720p (Netflix TechBlog, Per-Title Encode Optimization);
the 1080p rungs (4,300 and 5,800) would double the bytes to move and show nothing more."""

SEGMENT_S = 4.0

_BY_ID = {title.id: title for title in TITLES}

# Scenes differ: a segment has 0.7 to 1.3 of its rendition's mean, the first one (logo, black) at most 1.
_LEAST, _SPREAD = 0.7, 0.6


@lru_cache(maxsize=65_536)
def segment_bytes(title: str, rendition: int, segment: int) -> int:
    """Size of a segment. KeyError for an unknown title, IndexError beyond the ladder or the title's end."""
    known = _BY_ID[title]
    if not (0 <= rendition < len(LADDER) and 0 <= segment < known.segments):
        raise IndexError(f"no rendition {rendition} or no segment {segment} of {title}")
    share = zlib.crc32(f"{title}/{segment}".encode()) / 2**32
    factor = _LEAST + _SPREAD * share
    if segment == 0:
        factor = min(1.0, factor)
    return round(LADDER[rendition] * 1000 / 8 * SEGMENT_S * factor)


_BLOCKS = tuple(bytes(2**power) for power in (20, 18))


def segment_blocks(n_bytes: int) -> list[bytes]:
    """A body of that size, in blocks that all segments share, so that serving it copies at most 256 KiB."""
    blocks = []
    for block in _BLOCKS:
        while n_bytes >= len(block):
            blocks.append(block)
            n_bytes -= len(block)
    if n_bytes:
        blocks.append(_BLOCKS[-1][:n_bytes])
    return blocks
