"""Who only looks at home pages or presses play, without watching: many requests for the gateways, and no video.

For overload: the home page of a television is the most expensive request that a gateway gets.
"""

from __future__ import annotations

import random

from harness.system import Client, Host, Workload

from ..content.catalogue import TITLES
from ..content.classes import CLASSES
from ..control.home import MAX_ROWS, ROWS
from ..control.tokens import mint
from .client import Requests
from .population import ISPS, REGIONS

MIXES = {
    "televisions": "four of five open the home page of a television, the others press play; all are signed in",
    "sign-ins": "half sign in and open a phone's home page; the others, signed in already, open one or press play",
}

_SHAPES = {"televisions": (MAX_ROWS, 0.0, 0.2), "sign-ins": (ROWS, 0.5, 0.4)}
"""By mix: rows of a page, the share that signs in, and the share of the others that presses play at once."""


def make(rng: random.Random, mix: str, index: int) -> Client:
    """The index-th client of a mix. KeyError for an unknown mix."""
    rows, signing_in, playing = _SHAPES[mix]
    network = rng.choices(CLASSES, [each.share for each in CLASSES])[0]
    signed_in = rng.random() >= signing_in
    return Client(
        name=f"browser-{index}",
        zone=rng.choice(ISPS),
        group=network.name,
        access=network.access(rng),
        params={
            "account": f"account-{rng.randrange(100_000):05d}",
            "signed_in": signed_in,
            "home_region": rng.choice(REGIONS),
            "rows": rows,
            "title": rng.choice(TITLES).id if signed_in and rng.random() < playing else None,
        },
    )


async def browse(host: Host) -> None:
    """One request and its repetitions, behind a sign-in where one is needed. `config`: see `make`."""
    requests, config = Requests(host, host.name), host.config
    if config["signed_in"]:
        requests.sign_in(mint(str(config["account"]), host.clock.now()))
    else:
        answer = await requests.api("login", "POST", "/login", {"account": config["account"]})
        if not answer.ok:
            return
        requests.sign_in(str(answer.body.get("token")))
    if config["title"] is None:
        await requests.api("home", "GET", f"/home?rows={config['rows']}")
    else:
        await requests.api("play", "POST", "/play", {"title": config["title"]})


browsers = Workload(
    name="browsers",
    role="browser",
    groups=tuple(network.name for network in CLASSES),
    zones=ISPS,
    mixes=MIXES,
    make=make,
    run=browse,
)
