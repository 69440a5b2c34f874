"""What a search may draw: the faults of a runtime, their places in a system, grids of times and magnitudes.

Grids are coarse on purpose: a value between two of them rarely fails where both hold, and small grids make schedules
that repeat, shrink and read well.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations, product
from typing import Literal, get_args, get_origin

from pydantic import ValidationError

from harness.engine.validate import FIRST_FAULT_S
from harness.experiment.load import Load
from harness.explore.patterns import draw_pattern
from harness.explore.schedule import (
    Place,
    Placed,
    Schedule,
    Values,
    ordered,
    overlapping,
    tolerated,
)
from harness.faults.base import Fault
from harness.faults.catalogue import FAULTS, parameters
from harness.faults.primitives import Capability
from harness.system import System, find_system

MAGNITUDES: Mapping[str, tuple[str, ...]] = {
    "s": ("50ms", "200ms", "1s", "5s"),
    "share": ("5%", "30%", "50%", "100%"),
    "bps": ("10Mbps", "1Mbps", "100kbps"),
    "bytes": ("64KB", "1KB"),
    "per_s": ("10/s", "1/s"),
}
"""By the unit of a parameter: what is drawn for it, from the mildest to the harshest."""

NUMBERS: Mapping[str, tuple[int, ...]] = {"status": (503, 500, 429)}
"""By the name of a parameter that is a number: what is drawn for it."""

LENGTHS_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
"""How long faults last, as far as the load does."""

GRID_S = 1.0
"""Faults begin at multiples of this."""

PATTERN_SHARE = 0.2
"""How many random schedules begin with a named pattern (`harness.explore.patterns`)."""

EVENT_SHARE = 0.15
"""How many faults of a random schedule wait for an event of the system."""

MAX_VALUES = 64
"""Combinations of magnitudes of one fault; more are thinned out."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A kind of fault with the magnitudes and the places that are drawn for it."""

    fault: str
    instant: bool
    values: tuple[Values, ...]
    places: tuple[Place, ...]


@cache
def system_of(name: str) -> System:
    """The system of that name, made once in a process. Raises InvalidSystem."""
    return find_system(name)


@dataclass(frozen=True)
class Space:
    """All schedules of a search. `paths`: pairs of roles of which the first one opens connections to the second.

    `faults`: only these kinds; all that the runtime is capable of where it is empty. `begin_s`: nothing begins earlier:
    the steady state comes first. `overload`: also what no system is made for (see `tolerated`). `exhaustive`: in place
    of random schedules every single fault (1), and every pair of them (2). `orders`: other orders of ready tasks are
    tried, too. `plain`: random schedules only, of all kinds of fault alike, to compare with.
    """

    system_name: str
    load: Mapping[str, Load]
    capabilities: frozenset[Capability]
    paths: Collection[tuple[str, str]] = ()
    faults: Collection[str] = ()
    max_faults: int = 4
    begin_s: float = FIRST_FAULT_S
    overload: bool = False
    exhaustive: int = 0
    orders: bool = True
    plain: bool = False

    @property
    def system(self) -> System:
        return system_of(self.system_name)

    @property
    def load_s(self) -> float:
        """How long clients arrive."""
        return max(load.duration_s for load in self.load.values())

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        """The kinds of fault that there are, each with what is drawn for it; none without a place."""
        found = (
            Choice(name, fault.instant, self.values_of(fault), self.places_of(fault))
            for name, fault in sorted(FAULTS.items())
            if fault.needs <= self.capabilities and (not self.faults or name in self.faults)
        )
        return tuple(one for one in found if one.values and one.places)

    def places_of(self, fault: type[Fault]) -> tuple[Place, ...]:
        topology = self.system.topology
        nodes = [Place(node=node.name) for node in topology.nodes]
        roles = [
            Place(role=role) for role in topology.roles if sum(n.role == role for n in topology.nodes) > 1
        ]
        if fault.targets == "nodes":
            return (*nodes, *roles)
        return (*nodes, *(Place(between=pair) for pair in sorted(self.paths)))

    def values_of(self, fault: type[Fault]) -> tuple[Values, ...]:
        """Combinations of magnitudes that make a valid fault, the mildest first."""
        grids: list[list[tuple[str, str | int | bool] | None]] = []
        for parameter in parameters(fault):
            options: list[tuple[str, str | int | bool] | None]
            options = [(parameter.name, value) for value in self._grid(fault, parameter.name, parameter.unit)]
            if not parameter.needed:
                options = [
                    None,
                    *(options if parameter.unit == "share" or "one of" in parameter.kind else ()),
                ]
            grids.append(options)
        found = []
        place = Place(node=self.system.topology.nodes[0].name)
        for combination in product(*grids):
            values = tuple(one for one in combination if one is not None)
            try:
                Placed(1.0, 0.0 if fault.instant else 1.0, _name(fault), place, values).model  # noqa: B018
            except ValidationError:
                continue
            found.append(values)
        return tuple(found[:: max(1, len(found) // MAX_VALUES)])

    def _grid(self, fault: type[Fault], name: str, unit: str) -> tuple[str | int | bool, ...]:
        if unit in MAGNITUDES:
            return MAGNITUDES[unit]
        if name in NUMBERS:
            return NUMBERS[name]
        field = next(field for key, field in fault.model_fields.items() if (field.alias or key) == name)
        if get_origin(field.annotation) is Literal:
            return get_args(field.annotation)
        return ("/*",) if name == "route" else ()

    def fits(self, schedule: Schedule) -> bool:
        """Whether the schedule is one of this search."""
        return not overlapping(schedule, self.system) and (self.overload or tolerated(schedule, self.system))

    @cached_property
    def times_s(self) -> tuple[float, ...]:
        """When faults may begin."""
        last = max(self.begin_s, self.load_s - LENGTHS_S[0])
        return tuple(self.begin_s + step * GRID_S for step in range(int((last - self.begin_s) / GRID_S) + 1))

    def lengths_s(self, at_s: float) -> tuple[float, ...]:
        """How long a fault that begins then may last: it ends with the load at the latest."""
        return tuple(one for one in LENGTHS_S if at_s + one <= self.load_s) or LENGTHS_S[:1]

    def draw(self, rng: random.Random) -> Schedule:
        """One schedule at random.

        A swarm (Groce et al., Swarm testing, 2012): each schedule has a random part of the kinds of fault, so that rare
        combinations are not drowned by common ones.
        """
        kinds = [one for one in self.choices if rng.random() < 0.5] or [rng.choice(self.choices)]
        if self.plain:
            kinds = list(self.choices)
        size = 1
        while size < self.max_faults and rng.random() < 0.55:
            size += 1
        schedule: Schedule = ()
        if not self.plain and rng.random() < PATTERN_SHARE:
            pattern = ordered(draw_pattern(self, rng))
            fits = self.fits(pattern) and all(one.end_s <= self.load_s for one in pattern)
            if fits and len(pattern) <= self.max_faults:
                schedule, size = pattern, min(self.max_faults, len(pattern) + size - 1)
        for _ in range(4 * size if len(schedule) < size else 0):
            choice = rng.choice(kinds)
            at_s = rng.choice(self.times_s)
            for_s = 0.0 if choice.instant else rng.choice(self.lengths_s(at_s))
            place, values = rng.choice(choice.places), rng.choice(choice.values)
            fault = Placed(at_s, for_s, choice.fault, place, values, self._draw_event(rng))
            wider = ordered((*schedule, fault))
            if self.fits(wider):
                schedule = wider
            if len(schedule) == size:
                break
        return schedule or self.draw(rng)

    def _draw_event(self, rng: random.Random) -> str:
        """Mostly none; an event of the system for a fault that waits for it."""
        events = tuple(self.system.events)
        waits = bool(events) and not self.plain and rng.random() < EVENT_SHARE
        return rng.choice(events) if waits else ""

    @cached_property
    def enumerated(self) -> tuple[Schedule, ...]:
        """The schedules of an exhaustive search: the single faults, then pairs of them that begin at one time."""
        pairs = combinations([one for (one,) in self.singles], 2) if self.exhaustive > 1 else ()
        return (*self.singles, *(pair for pair in map(ordered, pairs) if self.fits(pair)))

    @cached_property
    def singles(self) -> tuple[Schedule, ...]:
        """Every kind of fault at its harshest, in every place, in the middle of the load: tried first.

        Roles and paths between roles come before single nodes.
        """
        at_s = self.times_s[len(self.times_s) // 3]
        length_s = self.lengths_s(at_s)[-1]
        found = (
            (Placed(at_s, 0.0 if choice.instant else length_s, choice.fault, place, choice.values[-1]),)
            for wide in (True, False)
            for choice in self.choices
            for place in choice.places
            if (place.node is None) is wide
        )
        return tuple(schedule for schedule in found if self.fits(schedule))


def _name(fault: type[Fault]) -> str:
    return str(fault.model_fields["fault"].default)
