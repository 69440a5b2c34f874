"""What the harness and the processes of the load say to each other: data, never code.

A message is a JSON array: its class's name, then its fields. Unlike the nodes' (`messages.py`) it may come from
another machine, so nothing is unpickled. Floats travel in full (the shortest text that gives the same number).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from harness.system import Event, System

HEADER_BYTES = 4
MOST_BYTES = 64 * 1024 * 1024
"""A frame that is longer is none of ours."""

NEEDS, UP, DOWN, PING, PONG = "harness.needs", "harness.up", "harness.down", "harness.ping", "harness.pong"
"""Types of Locust's own messages between master and workers: how many users are needed; a batch for the harness, a
batch from it; a question for the master's clock, and its answer."""

MEASURE_EVERY_S = 5.0
"""How often workers on other machines compare their clock with the master's."""


UNDECLARED = "?"
"""Before the name of a class that is no table's."""


class Unintelligible(ValueError):
    """What came is no message."""


# ---------------------------------------------------------------------- from a process of the load


@dataclass(frozen=True, slots=True)
class Hello:
    """A process is there, on a machine of this name. `versions`: of Python, the harness, Locust."""

    pid: int
    machine: str
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Listening:
    """The master takes workers at this port."""

    port: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """The system is loaded. `offset_s`: what must be added to this machine's monotonic clock to get the master's,
    give or take `uncertain_s`; both 0 on the harness's own machine."""

    offset_s: float
    uncertain_s: float


@dataclass(frozen=True, slots=True)
class Standing:
    """Users stand by: sessions may begin."""

    users: int


@dataclass(frozen=True, slots=True)
class Broken:
    """This process cannot go on."""

    error: str


@dataclass(frozen=True, slots=True)
class Came:
    """A client has come: who and where it is, and its access link."""

    client: str
    role: str
    zone: str
    group: str
    load: str
    index: int
    intended_s: float
    t_s: float
    access: Sequence[float]


@dataclass(frozen=True, slots=True)
class Resolve:
    """Where is `name`, port `port`, for this client?"""

    number: int
    client: str
    name: str
    port: int


@dataclass(frozen=True, slots=True)
class Emitted:
    """A row, or an event with its name in `table` and its fields as the only value."""

    t_s: float
    client: str
    role: str
    table: str
    values: Sequence[Any]
    event: bool = False


@dataclass(frozen=True, slots=True)
class Requested:
    """The values of a `LoadRequest`, in order."""

    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Alive:
    """Said once a second by the loop that clients live in."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """Connection attempts by node, in total since this process began."""

    by_node: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Unhandled:
    client: str
    error: str
    defect: bool


@dataclass(frozen=True, slots=True)
class Left:
    """A client has left; `error` when its code raised, or when it would not go."""

    client: str
    t_s: float
    asked: bool
    error: str | None


@dataclass(frozen=True, slots=True)
class Finished:
    """All arrivals of this process have come and left, or were not to come any more.

    `requests`: HTTP requests that were told to Locust. `added`: users that had to be added beside Locust's shape.
    `offset_s`: as in `Prepared`, at the end.
    """

    requests: int = 0
    added: int = 0
    cpu_s: float = 0.0
    offset_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Lost:
    """The master does not hear a worker any more."""

    why: str


@dataclass(frozen=True, slots=True)
class Totals:
    """What Locust has counted: by "METHOD name" requests and failures."""

    requests: int
    failures: int
    by_name: Mapping[str, Sequence[int]]
    users: int


# ---------------------------------------------------------------------- from the harness


@dataclass(frozen=True, slots=True)
class Prepare:
    """Load the system. `number` (from 0) of `workers`; `origin_s`: run time 0 on the harness's monotonic clock."""

    name: str
    number: int
    workers: int
    reference: str
    seed: int
    safeguards: Mapping[str, bool]
    origin_s: float


@dataclass(frozen=True, slots=True)
class Stand:
    """To the master: have users stand by."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Let the clients come. `loads`: clients a second (`arrive`), seconds (`for_`) and `mix` of each; times are from
    `start_s` on."""

    loads: Mapping[str, Mapping[str, Any]]
    start_s: float


@dataclass(frozen=True, slots=True)
class Route:
    """Answers `Resolve`: node, address, port, round trip in seconds, in the order to be tried."""

    number: int
    addresses: Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Leave:
    """Nobody comes any more; whoever is there is asked to leave."""


@dataclass(frozen=True, slots=True)
class End:
    """To the master: end Locust once its statistics hold so many requests, or after a while."""

    requests: int


_CLASSES = (
    *(
        Hello,
        Listening,
        Prepared,
        Standing,
        Broken,
        Came,
        Resolve,
        Emitted,
        Requested,
        Alive,
        Attempts,
        Unhandled,
    ),
    *(Left, Finished, Lost, Totals, Prepare, Stand, Begin, Route, Leave, End),
)
_BY_NAME: dict[str, tuple[type, int]] = {each.__name__: (each, len(fields(each))) for each in _CLASSES}


def pack(messages: Iterable[object]) -> str:
    """A batch as text. TypeError for what JSON has no word for."""
    return json.dumps(
        [[type(m).__name__, *(getattr(m, f.name) for f in fields(m))] for m in messages],  # type: ignore[arg-type]
        separators=(",", ":"),
    )


def unpack(text: str | bytes) -> list[Any]:
    """The messages of a batch. Raises Unintelligible."""
    try:
        found = json.loads(text)
        return [_message(name, values) for name, *values in found]
    except (ValueError, TypeError, RecursionError) as error:
        raise Unintelligible(f"no batch of messages: {error}") from error


def _message(name: str, values: Sequence[Any]) -> Any:
    known = _BY_NAME.get(name)
    if known is None or len(values) != known[1]:
        raise Unintelligible(f"no message: {name} with {len(values)} values")
    return known[0](*values)


def emitted(t_s: float, client: str, role: str, row: object, tables: Mapping[type, str]) -> Emitted:
    """`tables`: row class to name. A class that is none of them travels as its name alone."""
    if isinstance(row, Event):
        return Emitted(t_s, client, role, row.name, [dict(row.fields)], event=True)
    name = tables.get(type(row))
    if name is None:
        return Emitted(t_s, client, role, UNDECLARED + type(row).__qualname__, [])
    return Emitted(t_s, client, role, name, [getattr(row, f.name) for f in fields(row)])  # type: ignore[arg-type]


def row_of(message: Emitted, system: System) -> object:
    """The row as it was. For one that is no table's, something that bears the name of its class. Raises
    Unintelligible."""
    try:
        if message.event:
            return Event(message.table, dict(message.values[0]))
        if message.table.startswith(UNDECLARED):
            return type(message.table.removeprefix(UNDECLARED), (), {})()
        return system.tables[message.table](*message.values)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise Unintelligible(f"no row of {message.table}: {error!r}") from error


# ---------------------------------------------------------------------- frames of the line


def frame(worker: str, batch: str) -> bytes:
    """A batch from, or for, a process of the load, by Locust's name of it."""
    data = json.dumps([worker, batch]).encode()
    return len(data).to_bytes(HEADER_BYTES) + data


def unframe(data: bytes) -> tuple[str, str]:
    """Raises Unintelligible."""
    try:
        worker, batch = json.loads(data)
    except (ValueError, TypeError) as error:
        raise Unintelligible(f"no frame: {error}") from error
    return str(worker), str(batch)


async def receive(reader: asyncio.StreamReader) -> tuple[str, str] | None:
    """The next batch and whose it is; None when the other side is gone."""
    try:
        size = int.from_bytes(await reader.readexactly(HEADER_BYTES))
        if size > MOST_BYTES:
            raise Unintelligible(f"a frame of {size} bytes")
        return unframe(await reader.readexactly(size))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
