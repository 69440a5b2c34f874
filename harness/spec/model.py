"""What a user writes, as frozen models: experiment, load, selectors, gates, arms, SLOs.

Faults are models too, but each lives in `harness.faults`; they derive from `FaultSpec` and are handed to
the parser as a catalogue (name to class), so that this package stays at the bottom of the house.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.spec.units import Duration, Rate, Ratio


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Selector(Frozen):
    """Hosts by role, zone, node name or client group (all given ones must fit); `pick` draws N or P%."""

    role: str | None = None
    zone: str | None = None
    node: str | None = None
    group: str | None = None
    pick: int | str | None = None


class LinkSelector(Frozen):
    """Traffic between two sets of hosts. A plain string is a role."""

    from_: Selector | str = Field(alias="from")
    to: Selector | str


class Target(Selector):
    """Nodes (`role`, `zone`, `node`, `pick`) or a `link`: {from, to}."""

    link: LinkSelector | None = None


class FaultSpec(Frozen):
    """Base of every fault in the catalogue: when, how long, on what. Parameters are the subclass's.

    `targets`: whether it acts on "nodes" or on a "link". `instant`: it takes no `for`.
    """

    targets: ClassVar[Literal["nodes", "link"]]
    instant: ClassVar[bool] = False

    fault: str
    at: Duration
    for_: Duration | None = Field(default=None, alias="for")
    target: Target
    name: str | None = None


class Load(Frozen):
    """Open-loop Poisson arrivals of a workload's clients."""

    arrive: Rate
    for_: Duration = Field(alias="for")
    mix: str


class SloGate(Frozen):
    """The SLO holds with confidence. `during`: which samples count, by when they were determined."""

    slo: str
    where: str | None = None
    target: Ratio | None = None
    at_most: str | None = None
    during: Literal["all", "before", "fault", "after"] = "all"
    name: str | None = None


class EventGate(Frozen):
    """The event is seen within this time of every fault's start (`of: fault`) or end (`of: recovery`)."""

    event: str
    within: Duration
    of: Literal["fault", "recovery"] = "fault"
    name: str | None = None


class RecoveredGate(Frozen):
    """From `within` after the last fault's end on, the SLO holds again."""

    recovered: str
    within: Duration
    where: str | None = None
    target: Ratio | None = None
    at_most: str | None = None
    name: str | None = None


type Gate = SloGate | EventGate | RecoveredGate


class Arm(Frozen):
    """The same run with safeguards off. `must: breach`: the gate of that SLO must then fail."""

    without: str | tuple[str, ...]
    must: Literal["breach", "hold"] = "breach"
    slo: str
    where: str | None = None

    @property
    def safeguards(self) -> tuple[str, ...]:
        return (self.without,) if isinstance(self.without, str) else self.without


class Experiment(Frozen):
    """One experiment file."""

    experiment: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str
    description: str = ""
    system: str
    tags: tuple[str, ...] = ()
    load: dict[str, Load]
    timeline: tuple[Any, ...] = ()
    """Fault models of the catalogue (`FaultSpec` subclasses)."""
    gates: tuple[Gate, ...]
    arms: tuple[Arm, ...] = ()
    drain: Duration = 60.0
    """How long clients may go on after the last arrival before they are asked to leave."""


class RatioSlo(Frozen):
    """At least `target` of the rows are good. Exactly one of `good`, `bad` (SQL, boolean)."""

    protects: str
    table: str
    where: str | None = None
    good: str | None = None
    bad: str | None = None
    target: Ratio
    by: str | None = None
    at: str = "t_s"


class PercentileSlo(Frozen):
    """The percentile of `value` (SQL, numeric, in base units) is at most `at_most` (with its unit)."""

    protects: str
    table: str
    where: str | None = None
    value: str
    percentile: Annotated[float, Field(gt=0, lt=100)]
    at_most: str
    by: str | None = None
    at: str = "t_s"


type Slo = RatioSlo | PercentileSlo
