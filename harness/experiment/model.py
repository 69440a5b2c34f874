"""What a user writes, as frozen models: experiment, load, selectors, arms; the bases of faults, gates and SLOs.

Faults, gates and SLOs are models too. Each kind is in a file of `harness.faults`, `harness.gates` or
`harness.sli`, derives from a base here, and is passed to the parser in a catalogue, so that this package imports
none of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from harness.diagnostics import Code, Diagnostic
from harness.errors import InvalidValue
from harness.experiment.load import Frozen, Load
from harness.experiment.order import FIFO, Order
from harness.experiment.units import Duration, PositiveDuration
from harness.text import quote

MAX_NAME = 100
"""Characters of a name: run directories are called after experiments, and file systems have limits."""

NAME = rf"^[a-z0-9][a-z0-9-]{{0,{MAX_NAME - 1}}}$"
"""Names of experiments and SLOs."""


def check_name(name: str) -> str:
    """The name itself. Raises InvalidValue where it does not match `NAME`."""
    if len(name) > MAX_NAME:
        found = f"found a name of {len(name)} characters"
        raise InvalidValue(Code.OUT_OF_RANGE, found, f"a name has at most {MAX_NAME}")
    if not re.fullmatch(NAME, name):
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        raise InvalidValue(
            Code.BAD_VALUE,
            f"found the name {quote(name)}",
            "a name has lower-case letters, digits and dashes",
            f"did you mean '{slug}'?" if slug else "",
        )
    return name


type Name = Annotated[str, AfterValidator(check_name), Field(json_schema_extra={"pattern": NAME})]


type Names = str | Annotated[tuple[str, ...], Field(min_length=1)]
"""A name, or a list of names."""


def names_of(value: Names | None) -> tuple[str, ...] | None:
    """The names as a tuple; None where there is none."""
    return (value,) if isinstance(value, str) else value


class Selector(Frozen):
    """Hosts by role, zone, node name or client group (all that are given must match); `pick` draws N or P%."""

    role: Names | None = None
    """All hosts of this role, or of these."""
    zone: Names | None = None
    """Hosts in this zone, or in these."""
    node: Names | None = None
    """The node of this name, or these."""
    group: Names | None = None
    """Clients of this group, such as a network class, or of these."""
    pick: int | str | None = None
    """Draw so many of them (2), or this share (25%), from the run's seed."""


class LinkSelector(Frozen):
    """Traffic between two sets of hosts. A plain string is a role."""

    from_: Selector | str = Field(alias="from")
    """One end: a role, or a mapping with role, zone, node, group, pick."""
    to: Selector | str
    """The other end: a role, or a mapping with role, zone, node, group, pick."""


class Target(Selector):
    """Nodes (`role`, `zone`, `node`, `pick`) or a `link`: {from, to}."""

    link: LinkSelector | None = None
    """Traffic between two sets of hosts: {from: edge, to: storage}."""


class Trigger(Frozen):
    """What a fault waits for: an event of the system."""

    event: str
    """The event, by its name."""
    where: str | None = None
    """Only events for which this SQL condition is true. It knows the fields of the event by their names, and its
    `node` and `t_s`; a field that an event does not have is null."""
    after: Duration = 0.0
    """How long after the event the fault begins."""

    def describe(self) -> str:
        """`breaker.state where state = 'open'`."""
        return self.event if self.where is None else f"{self.event} where {self.where}"


class FaultDefinition(Frozen):
    """Base of every fault in the catalogue: when, how long, on what. Parameters are the subclass's.

    `targets`: whether it acts on "nodes" or on a "link". `instant`: it takes no `for`.
    """

    targets: ClassVar[Literal["nodes", "link"]]
    instant: ClassVar[bool] = False

    fault: str
    """The name of the fault."""
    at: Duration
    """When it begins, from the start of the load; with `when`, not before."""
    when: Trigger | None = None
    """It begins at the first such event from `at` on."""
    for_: PositiveDuration | None = Field(default=None, alias="for")
    """How long it lasts."""
    target: Target | str
    """What it acts on: {role, zone, node, pick} or {link: {from, to}}, or the name of one of the experiment's
    `targets`."""
    every: PositiveDuration | None = None
    """It is repeated, so long after it began the last time."""
    times: Annotated[int, Field(ge=2, le=1000)] | None = None
    """How often it happens in all, with `every`."""
    name: str | None = None
    """Its name in reports."""

    @classmethod
    def mismatches(
        cls, *, has_duration: bool, has_link: bool, has_every: bool = False, has_times: bool = False
    ) -> Iterator[Diagnostic]:
        """What a fault of this kind lacks, or does not take."""
        if has_every != has_times:
            given, lacks = ("every", "times") if has_every else ("times", "every")
            allowed = "how often in all, for example times: 5" if has_every else "for example every: 60s"
            yield Diagnostic(Code.MISSING_KEY, f"'{given}' needs '{lacks}'", allowed, "", (given,), True)
        name = cls.model_fields["fault"].default
        if cls.instant and has_duration:
            yield Diagnostic(Code.CONFLICT, f"{name} takes no 'for'", "remove it", "", ("for",), True)
        if not cls.instant and not has_duration:
            allowed = "how long it lasts, for example for: 30s"
            yield Diagnostic(Code.MISSING_KEY, f"{name} needs 'for'", allowed, "", ("for",))
        if cls.targets == "nodes" and has_link:
            yield Diagnostic(
                Code.CONFLICT,
                f"{name} acts on nodes, not on a link",
                "give role, zone or node (and pick)",
                "",
                ("target", "link"),
                True,
            )


class GateDefinition(Frozen):
    """Base of every kind of gate: what an experiment claims. `key`: the YAML key that names the kind."""

    key: ClassVar[str]

    name: str | None = None
    """Its name in reports."""


class Arm(Frozen):
    """The same run with safeguards off. `must: breach`: the gate of that SLO must then fail."""

    without: str | Annotated[tuple[str, ...], Field(min_length=1)]
    """The safeguard that is off, or a list of them."""
    must: Literal["breach", "hold"] = "breach"
    """What the SLO's gates must then do: fail (the safeguard is what holds them), or hold all the same."""
    slo: str
    """The SLO whose gates are looked at."""
    where: str | None = None
    """Only samples for which this SQL condition is true."""

    @property
    def safeguards(self) -> tuple[str, ...]:
        return (self.without,) if isinstance(self.without, str) else self.without

    def differs_from(self, without: Collection[str]) -> bool:
        """Whether it switches more off than a run without these safeguards."""
        return not set(self.safeguards) <= {*without}


class Variable(Frozen):
    """A variable that the environment may set."""

    env: str | None = None
    """The environment variable that sets it."""
    default: str | int | float | bool | None = None
    """Its value where nothing sets it."""


class Experiment(Frozen):
    """One experiment file."""

    experiment: Name
    """Its name: small letters, digits, dashes."""
    title: str
    """One sentence: the claim that the experiment tests."""
    description: str = ""
    """A longer description."""
    system: str
    """The system under test: a name that `harness list` knows, or module:attribute of your own."""
    tags: tuple[str, ...] = ()
    """Words to select it by."""
    order: Order = FIFO
    """In which order tasks take their steps that are ready at one moment of virtual time: fifo, random:SEED or
    pct:SEED."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """The seed of its runs where the command line names none; 1 if not given. Regressions have the seed that showed
    them."""
    runtime: str | None = None
    """The only runtime that it is made for; runs of a directory in another one leave it out."""
    vars: dict[str, str | int | float | bool | Variable] = Field(default_factory=dict)
    """Variables with their defaults; values use them as "${name}", and --var name=value sets them."""
    targets: dict[str, Target] = Field(default_factory=dict)
    """Targets by name, for several faults: each is picked once, so that all of them act on the same hosts."""
    load: dict[str, Load]
    """The clients: one entry for each load, by the name of its workload or by a name of its own."""
    timeline: tuple[Any, ...] = ()
    """The faults, each at its time after the load begins."""  # models of the catalogue (`FaultDefinition`)
    gates: tuple[Any, ...] = ()
    """The conditions that must hold, besides the invariants of the system."""  # (`GateDefinition`)
    abort_if: tuple[Any, ...] = ()
    """Gates that stop the run as soon as what is recorded breaches one of them."""  # (`GateDefinition`)
    arms: tuple[Arm, ...] = ()
    """The same run with safeguards off, to show that they matter."""
    budget: PositiveDuration | None = None
    """How much real time each arm may take; then it is ended, and the verdict is error. 10 minutes more than its
    run time if not given."""
    drain: Duration = 60.0
    """How long clients may continue after the last arrival; then they are cancelled."""


class SloDefinition(Frozen):
    """Base of every kind of SLO.

    `keys`: the YAML keys that tell the kind from others. `one_of`: of these exactly one is given.
    """

    keys: ClassVar[tuple[str, ...]]
    one_of: ClassVar[tuple[str, ...]] = ()

    protects: str
    """The promise to people; reports print it."""
    table: str
    """A table that the system declares, or events."""
    where: str | None = None
    """Which rows count: an SQL condition."""
    by: str | None = None
    """A column: the SLO must hold for every value of it by itself."""
    cluster: str | None = None
    """A column: rows with the same value depend on each other. By default the client that recorded the row."""
    at: str = "t_s"
    """SQL for the moment a row was determined, in seconds: decides what is before, in or after a fault."""
