"""What the harness and the processes of its nodes say to each other, and how it is framed.

Frames are pickles with their length (4 bytes, big-endian) in front. Both ends are processes of one harness that
share a socket pair; nobody else can write to it.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.faults.primitives import HttpRule

# ---------------------------------------------------------------------- to the fork server


@dataclass(frozen=True, slots=True)
class World:
    """What all nodes of a run share. `origin_s`: the moment of run time 0 on the machine's monotonic clock."""

    reference: str
    seed: int
    safeguards: Mapping[str, bool]
    origin_s: float
    directory: str


@dataclass(frozen=True, slots=True)
class Launch:
    """Fork a process for this node; its end of a socket pair comes along with the message.

    `namespace`: the path of the network namespace that it lives in, if it is not the harness's.
    """

    node: str
    incarnation: int
    address: str
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Launched:
    node: str
    incarnation: int
    pid: int


@dataclass(frozen=True, slots=True)
class Exited:
    """`status` as of `os.waitstatus_to_exitcode`: negative for a signal."""

    pid: int
    status: int


# ---------------------------------------------------------------------- from a node


@dataclass(frozen=True, slots=True)
class Ready:
    """The service listens at this port, as it calls it."""

    port: int


@dataclass(frozen=True, slots=True)
class Emitted:
    t_s: float
    row: object


@dataclass(frozen=True, slots=True)
class Unhandled:
    """An error in the background; a `defect` is one that no network makes."""

    error: str
    defect: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """The service's main coroutine is over, which it should never be."""

    why: str


@dataclass(frozen=True, slots=True)
class Resolve:
    """Where is `name`, port `port`?"""

    number: int
    name: str
    port: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Totals since this process began: connection attempts by node, requests taken by interference number."""

    attempts: Mapping[str, int] = field(default_factory=dict)
    taken: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """To `Ask`: everything that was said before it has been sent."""

    number: int


# ---------------------------------------------------------------------- to a node


@dataclass(frozen=True, slots=True)
class Address:
    """One way to a node: through a proxy that listens at `host`, `port`. `rtt_s` is the topology's round trip."""

    node: str
    host: str
    port: int
    rtt_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Route:
    """Answers `Resolve`: addresses in the order to be tried; none when there is no such name."""

    number: int
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Interfere:
    """Interfere with requests from now on; `number` is unique in the run. Draws from `stream(seed, *names)`."""

    number: int
    rule: HttpRule
    names: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Relent:
    """The end of an `Interfere`."""

    number: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Send the counts and an `Answer`."""

    number: int


HEADER_BYTES = 4


def frame(message: object) -> bytes:
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(HEADER_BYTES) + data


async def receive(reader: asyncio.StreamReader) -> Any:
    """The next message; None when the other side is gone."""
    try:
        size = int.from_bytes(await reader.readexactly(HEADER_BYTES))
        return pickle.loads(await reader.readexactly(size))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
