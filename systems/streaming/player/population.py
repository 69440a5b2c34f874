"""Who watches: where they are, how they are connected, what they want to see and for how long."""

from __future__ import annotations

import itertools
import math
import random

from harness.system import Client, Workload

from ..content.catalogue import TITLES
from ..content.classes import BY_NAME, CLASSES
from .viewer import watch

ISPS = ("isp-a", "isp-b", "isp-c")
REGIONS = ("region-east", "region-west")

MIXES = {
    "home": "all network classes, as a service sees them in the evening",
    "even": "every network class as often as the others, so that few sessions can judge each",
    "zapping": "as `even`, but nobody stays longer than a few segments: many starts, little video",
    "fixed": "fibre and dsl only",
    "mobile": "4g, 4g-congested and 3g only",
}

_CLASSES = {
    "home": tuple(network.name for network in CLASSES),
    "even": tuple(network.name for network in CLASSES),
    "zapping": tuple(network.name for network in CLASSES),
    "fixed": ("fibre", "dsl"),
    "mobile": ("4g", "4g-congested", "3g"),
}

WATCH_MEDIAN_S = 22.0
WATCH_SIGMA = 0.5
WATCH_LEAST_S, WATCH_MOST_S = 10.0, 80.0
"""Short on purpose: sessions that begin, run and end within an experiment of minutes."""

ZAPPING_LEAST_S, ZAPPING_MOST_S = 8.0, 16.0

ZIPF = 0.9
"""Exponent of the popularity of titles by rank (about 1 in published traces of video on demand)."""

SIGNED_IN = 0.9
"""Share of viewers who are signed in when they come; the others log in first."""

_POPULARITY = tuple(itertools.accumulate(1 / rank**ZIPF for rank in range(1, len(TITLES) + 1)))


def make(rng: random.Random, mix: str, index: int) -> Client:
    """The index-th viewer of a mix. KeyError for an unknown mix."""
    networks = [BY_NAME[name] for name in _CLASSES[mix]]
    shares = [1.0 if mix in ("even", "zapping") else network.share for network in networks]
    (network,) = rng.choices(networks, shares)
    isp = rng.choice(ISPS)
    account = f"account-{rng.randrange(100_000):05d}"
    (title,) = rng.choices(TITLES, cum_weights=_POPULARITY)
    watch_s = min(WATCH_MOST_S, max(WATCH_LEAST_S, rng.lognormvariate(math.log(WATCH_MEDIAN_S), WATCH_SIGMA)))
    if mix == "zapping":
        watch_s = rng.uniform(ZAPPING_LEAST_S, ZAPPING_MOST_S)
    return Client(
        name=f"viewer-{index}",
        zone=isp,
        group=network.name,
        access=network.access(rng),
        params={
            "account": account,
            "signed_in": rng.random() < SIGNED_IN,
            "title": title.id,
            "watch_s": watch_s,
            "home_region": rng.choice(REGIONS),
            "abr": rng.choice(("bola", "throughput")),
        },
    )


viewers = Workload(
    name="viewers",
    role="viewer",
    groups=tuple(network.name for network in CLASSES),
    zones=ISPS,
    mixes=MIXES,
    make=make,
    run=watch,
)
