"""A fault schedule as data: what a search draws, a shrinker makes smaller, and an experiment file holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.faults.base import Fault
from harness.faults.catalogue import FAULTS
from harness.system import System

type Values = tuple[tuple[str, str | int | bool], ...]
"""Parameters as a file has them, with their units."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """What a fault acts on: a node, all nodes of a role or of a zone, or the traffic between two roles."""

    node: str | None = None
    role: str | None = None
    between: tuple[str, str] | None = None
    zone: str | None = None

    @property
    def entry(self) -> dict[str, Any]:
        """As a target in a file."""
        if self.between is not None:
            return {"link": {"from": self.between[0], "to": self.between[1]}}
        if self.zone is not None:
            return {"zone": self.zone}
        return {"node": self.node} if self.node is not None else {"role": self.role}

    def nodes(self, system: System) -> frozenset[str]:
        """The nodes that it hits as a whole; none for traffic between roles."""
        return frozenset(
            node.name
            for node in system.topology.nodes
            if node.name == self.node
            or (self.role is not None and node.role == self.role)
            or (self.zone is not None and node.zone == self.zone)
        )


@dataclass(frozen=True, slots=True, order=True)
class Placed:
    """One fault of a schedule. Times in seconds of the load; `for_s` 0: it happens in an instant.

    `when`: an event that it waits for from `at_s` on.
    """

    at_s: float
    for_s: float
    fault: str
    place: Place
    values: Values = ()
    when: str = ""

    @property
    def end_s(self) -> float:
        return self.at_s + self.for_s

    @property
    def last_s(self) -> float:
        """When it is over for certain."""
        return math.inf if self.when else self.end_s

    @property
    def entry(self) -> dict[str, Any]:
        """As an entry of a timeline."""
        lasts = {"for": f"{self.for_s:g}s"} if self.for_s else {}
        return {
            "at": f"{self.at_s:g}s",
            **({"when": {"event": self.when}} if self.when else {}),
            **lasts,
            "fault": self.fault,
            "target": self.place.entry,
            **dict(self.values),
        }

    @property
    def model(self) -> Fault:
        """Raises pydantic.ValidationError for what is no fault."""
        return FAULTS[self.fault].model_validate(self.entry)

    def describe(self) -> str:
        """`crash of node-1, 20s to 30s`, with its parameters."""
        place = self.place
        where = (
            f"{place.between[0]} > {place.between[1]}" if place.between else place.node or f"all {place.role}"
        )
        if place.zone is not None:
            where = f"zone {place.zone}"
        when = f"{self.at_s:g}s to {self.end_s:g}s" if self.for_s else f"at {self.at_s:g}s"
        if self.when:
            when = f"at {self.when} from {self.at_s:g}s on" + (f", for {self.for_s:g}s" if self.for_s else "")
        values = "".join(f", {name} {value}" for name, value in self.values)
        return f"{self.fault} of {where}, {when}{values}"


type Schedule = tuple[Placed, ...]
"""In the order of time."""


def ordered(faults: Iterable[Placed]) -> Schedule:
    return tuple(sorted(faults, key=lambda one: (one.at_s, one.end_s, one.fault, str(one.place))))


STOPS = (
    "crash",
    "power-off",
    "pause",
    "restart",
    "partition",
    "http-error",
    "loss",
    "cpu-limit",
    "bandwidth",
)
"""Faults that can keep a node from serving."""


def tolerated(schedule: Schedule, system: System, stops: Iterable[str] = STOPS) -> bool:
    """Whether a system that is made for it can stand the schedule: of each role with several nodes one is well.

    Roles with one node may be hit: what they do must be dispensable.
    """
    roles: Mapping[str, list[str]] = {}
    roles = {
        role: [n.name for n in system.topology.nodes if n.role == role] for role in system.topology.roles
    }
    hits = [(one, one.place.nodes(system)) for one in schedule if one.fault in set(stops)]
    for moment, _ in hits:
        down = {node for one, nodes in hits if one.at_s <= moment.at_s <= one.last_s for node in nodes}
        if any(len(nodes) > 1 and down.issuperset(nodes) for nodes in roles.values()):
            return False
    return True


def overlapping(schedule: Schedule, system: System) -> bool:
    """Whether two faults of one kind act on the same place at a time, or two faults stop the same node."""
    return any(
        one.at_s <= other.last_s and other.at_s <= one.last_s and _same(one, other, system)
        for index, one in enumerate(schedule)
        for other in schedule[index + 1 :]
    )


_DOWN = ("crash", "power-off", "pause", "restart", "deploy")


def _same(one: Placed, other: Placed, system: System) -> bool:
    if one.fault in _DOWN and other.fault in _DOWN:
        return not one.place.nodes(system).isdisjoint(other.place.nodes(system))
    return one.fault == other.fault and one.place == other.place


def subsets(schedule: Schedule) -> Iterator[tuple[Placed, Schedule]]:
    """Each fault, and the schedule without it."""
    for index, fault in enumerate(schedule):
        yield fault, schedule[:index] + schedule[index + 1 :]
