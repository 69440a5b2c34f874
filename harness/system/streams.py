"""Independent random streams of one seed: adding one never shifts another."""

from __future__ import annotations

import hashlib
import random


def stream(seed: int, *names: str | int) -> random.Random:
    """The generator of these names in a run of this seed, e.g. `stream(7, "arrivals", "viewers")`.

    The same in every process and on every platform: it is seeded with SHA-256 of the seed and the names, each
    with its length, so that different lists of names have different digests.
    """
    digest = hashlib.sha256()
    for part in (seed, *names):
        text = str(part).encode()
        digest.update(len(text).to_bytes(4))
        digest.update(text)
    return random.Random(int.from_bytes(digest.digest()))
