"""`Capabilities`: what a runtime can do, asked before anything starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from harness.faults.capability import Capability


@dataclass(frozen=True, slots=True)
class Lack:
    """Why a runtime, or this machine, cannot do something; `instead`: what to do about it."""

    reason: str
    instead: str = ""

    def __str__(self) -> str:
        return "; ".join(part for part in (self.reason, self.instead) if part)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a runtime can do as it is set up, on this machine.

    `available`: how each capability is provided. `lacks`: why another one is not; what is in neither is not available.
    """

    available: Mapping[Capability, str]
    lacks: Mapping[Capability, Lack] = field(default_factory=dict)

    def missing(self, needed: Iterable[Capability]) -> tuple[Lack, ...]:
        """Why what is needed cannot be done, in the order of `Capability`; empty when all of it can."""
        wanted = frozenset(needed)
        return tuple(
            self.lacks.get(one, Lack(f"there is no {one.value} in this runtime"))
            for one in Capability
            if one in wanted and one not in self.available
        )
