"""`Chart`: what the page of a run draws over time, as a system declares it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

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
