"""`System`: what a system under test provides. A value, found by name."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.diagnostics import Code
from harness.errors import InvalidValue
from harness.system.host import Host
from harness.system.topology import Topology

type Level = Literal["ok", "warn", "bad"]
"""How a state looks: expected, in between, or a sign of trouble."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One value of a table over the time of a run, in slices of time, one line for each group.

    `value`: an SQL expression over a row. `shows`: what is drawn of it for each slice: a `percentile` or the `mean` of
    a number, the `share` of the rows for which a condition is true, or the `sum` of a number, as bars.
    `by`: the group (SQL), None for one line. `at`: when the row counts (SQL, seconds of the run). `where`: which rows.
    `unit` of the value: "s", "bps", "bytes" or "count"; of a share it is "ratio".
    `slo`: the SLO whose percentile and threshold the chart takes, in runs that have it. `dots`: draws each row, too.
    `note`: one sentence for people, without its full stop. `empty`: what the page says when there is no row.
    """

    name: str
    table: str
    shows: Literal["percentile", "mean", "share", "sum"]
    value: str
    by: str | None = None
    at: str = "t_s"
    where: str = "true"
    unit: str = "s"
    percentile: float = 95
    slo: str | None = None
    dots: bool = False
    note: str = ""
    empty: str = ""


@dataclass(frozen=True, slots=True)
class StateChart:
    """The states of several things over the time of a run, one strip for each.

    Each row of `table` for which `where` is true is a change: the thing `by` (SQL) is in the state `value` (SQL) from
    `at` on; before its first change it is in the state `initial`. `levels`: how the states look; others are `bad`.
    """

    name: str
    table: str
    value: str
    by: str
    initial: str
    at: str = "t_s"
    where: str = "true"
    levels: Mapping[str, Level] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Safeguard:
    """A resilience mechanism that can be switched off (`--without NAME`), to show that it matters."""

    name: str
    protects: str


@dataclass(frozen=True, slots=True)
class Access:
    """A client's own access link. Rates in bit/s, times in seconds, loss a probability.

    `queue_bytes`: what waits at most in front of it in each direction, while more is offered than leaves; None: 100 ms
    at its rate, at least 32 KiB.
    """

    down_bps: float
    up_bps: float
    rtt_s: float
    jitter_s: float = 0.0
    loss: float = 0.0
    queue_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.queue_bytes is not None and self.queue_bytes < 1:
            raise InvalidValue(Code.OUT_OF_RANGE, f"{self}: queue_bytes must be > 0")
        if not (self.down_bps > 0 and self.up_bps > 0 and self.rtt_s >= 0 and self.jitter_s >= 0):
            raise InvalidValue(Code.OUT_OF_RANGE, f"{self}: rates must be > 0, times >= 0")
        if not 0 <= self.loss < 1:
            raise InvalidValue(Code.OUT_OF_RANGE, f"{self}: loss must be >= 0 and < 1")


@dataclass(frozen=True, slots=True)
class Client:
    """One client of a workload: where it is and how it is connected. `params` become `Host.config`."""

    name: str
    zone: str
    group: str
    access: Access
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Workload:
    """A population of clients.

    `make(rng, mix, index)` describes the index-th arrival (pure; the generator is that client's own);
    `run(host)` is the client's whole life, it returns when the client leaves. Clients have role `role`.
    """

    name: str
    role: str
    groups: tuple[str, ...]
    zones: tuple[str, ...]
    mixes: Mapping[str, str]
    """Mix name to one line that says what it is."""
    make: Callable[[random.Random, str, int], Client]
    run: Callable[[Host], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Invariant:
    """What must never happen under any fault: rows of `table` for which `violated` (SQL) is true."""

    name: str
    table: str
    violated: str
    protects: str


@dataclass(frozen=True, slots=True)
class MatchRows:
    """Rows of `table` for which `where` (SQL) is true, by their `key` (SQL). `at`: their moment (SQL, seconds)."""

    table: str
    key: str
    where: str = "true"
    at: str = "t_s"


@dataclass(frozen=True, slots=True)
class MatchInvariant:
    """What must be done under any fault: to every key of `every` belong exactly `times` rows of `found_in`.

    They come at most `within_s` seconds after the first row of the key. A key whose time is not over when the run
    ends is not judged. A row without a key (null) violates it.

        MatchInvariant(
            "orders-done-once",
            every=MatchRows("accepted", "order_id"),
            found_in=MatchRows("done", "order_id"),
            within_s=10.0,
            protects="every accepted order is done exactly once",
        )
    """

    name: str
    every: MatchRows
    found_in: MatchRows
    within_s: float
    protects: str
    times: int = 1


@dataclass(frozen=True, slots=True)
class ParityMetric:
    """A figure in which two runtimes should come out alike (`harness parity`).

    `value`: an SQL aggregate over the rows of `table` for which `where` is true, in `unit` ("s" or "ratio").
    `within`: how far apart is near enough, as a share of the value in virtual time (`relative`), or as a
    difference in the unit.
    """

    name: str
    table: str
    value: str
    within: float
    where: str = "true"
    unit: str = "s"
    relative: bool = True


@dataclass(frozen=True, slots=True)
class System:
    """`tables`: table name to row dataclass. `events`: event name to what it means. `charts`: of a run's page."""

    name: str
    topology: Topology
    safeguards: tuple[Safeguard, ...]
    tables: Mapping[str, type]
    workloads: tuple[Workload, ...]
    invariants: tuple[Invariant | MatchInvariant, ...] = ()
    events: Mapping[str, str] = field(default_factory=dict)
    parity_metrics: tuple[ParityMetric, ...] = ()
    charts: tuple[Chart | StateChart, ...] = ()
