"""The typed rows that a running system reports.

A row is an instance of a frozen dataclass. Classes that a system declares as tables
(`System.tables`) become Parquet tables of the history, one column a field; `Event` rows go to the
`events` table. Every table class has a field `t_s: float`, the moment the row was determined, in
seconds since the run began. Column types: str, int, float, bool and `X | None` of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

type Scalar = str | int | float | bool | None
"""A field of an event."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something notable that happened on a host, e.g. `Event("player.failover", {"to": "edge-a-2"})`.

    `name` must be declared in `System.events`. The runtime adds when (`t_s`) and where (`host`).
    """

    name: str
    fields: Mapping[str, Scalar] = field(default_factory=dict)


type Row = object
"""An `Event`, or an instance of one of the system's table dataclasses."""
