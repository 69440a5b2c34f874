"""Named patterns: several faults that belong together, as they come in practice or in the literature.

They are drawn as parts of random schedules, and shrink like any others.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.explore.schedule import Place, Placed

if TYPE_CHECKING:
    from harness.explore.space import Choice, Space

SLOW = ("latency", "http-delay", "cpu-limit", "bandwidth")
DEAD = ("crash", "power-off", "pause")


def draw_pattern(space: Space, rng: random.Random) -> tuple[Placed, ...]:
    """The faults of a pattern that the space has the kinds for; none where it has none."""
    name = rng.choice(tuple(PATTERNS))
    return tuple(PATTERNS[name](space, rng))


def zone_loss(space: Space, rng: random.Random) -> Iterator[Placed]:
    """All nodes of a zone are gone at a time."""
    choice = _choice(space, rng, DEAD)
    zones = sorted({node.zone for node in space.system.topology.nodes})
    if choice is not None:
        place, for_s = Place(zone=rng.choice(zones)), rng.choice((2.0, 5.0, 10.0))
        yield Placed(_time(space, rng), for_s, choice.fault, place, rng.choice(choice.values))


def flapping(space: Space, rng: random.Random) -> Iterator[Placed]:
    """The same fault comes and goes: faster than time-outs, breakers and health checks may follow."""
    choice = _choice(space, rng, (*DEAD, "partition", "http-error"))
    if choice is not None:
        at_s, place, values = _time(space, rng), rng.choice(choice.places), rng.choice(choice.values)
        period_s = rng.choice((2.0, 3.0, 5.0))
        for number in range(3):
            yield Placed(at_s + number * period_s, 1.0, choice.fault, place, values)


def rolling(space: Space, rng: random.Random) -> Iterator[Placed]:
    """The nodes of a role fail one after the other, as in an upgrade that goes wrong (swizzle: Kingsbury, Jepsen)."""
    choice = _choice(space, rng, (*DEAD, "restart"))
    topology = space.system.topology
    roles = [role for role in topology.roles if len(topology.role(role)) > 1]
    if choice is not None and roles:
        at_s, values = _time(space, rng), rng.choice(choice.values)
        length_s = 0.0 if choice.instant else 2.0
        for number, node in enumerate(topology.role(rng.choice(roles))[:4]):
            yield Placed(at_s + 3.0 * number, length_s, choice.fault, Place(node=node.name), values)


def gray_failure(space: Space, rng: random.Random) -> Iterator[Placed]:
    """One node is slow in two ways, and never dead (Huang et al., Gray failure, 2017)."""
    node, at_s = rng.choice(space.system.topology.nodes), _time(space, rng)
    kinds = [choice for choice in space.choices if choice.fault in SLOW]
    for choice in rng.sample(kinds, min(2, len(kinds))):
        place = Place(node=node.name)
        if place in choice.places:
            yield Placed(at_s, rng.choice((5.0, 10.0)), choice.fault, place, rng.choice(choice.values))


PATTERNS: Mapping[str, Callable[[Space, random.Random], Iterator[Placed]]] = {
    "zone-loss": zone_loss,
    "flapping": flapping,
    "rolling": rolling,
    "gray-failure": gray_failure,
}


def _choice(space: Space, rng: random.Random, kinds: Sequence[str]) -> Choice | None:
    found = [choice for choice in space.choices if choice.fault in kinds]
    return rng.choice(found) if found else None


def _time(space: Space, rng: random.Random) -> float:
    return rng.choice(space.times_s)
