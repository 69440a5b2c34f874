"""What the harness asks of the process that holds the kernel network (`agent`), and what that answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.live.kernel.layout import Line


@dataclass(frozen=True, slots=True)
class Build:
    """Make these namespaces and join them to R. Answer: `Built`."""

    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Built:
    """Where each namespace can be entered (a path below /proc, by the line's name), and what it is known by."""

    paths: Mapping[str, str]
    inodes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Limit:
    """A queue with a rate in a limiter: `minor` is its class. bit/s of payload, in full packets."""

    limiter: int
    minor: int
    rate_bps: float


@dataclass(frozen=True, slots=True)
class Change:
    """First the new limiters and queues, then the rules (nft's own language; all or none), then what goes.
    Answer: `Counted`, of the rules named in `count`, from before the change."""

    nft: str = ""
    limiters: tuple[int, ...] = ()
    limits: tuple[Limit, ...] = ()
    unlimits: tuple[tuple[int, int], ...] = ()
    count: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Lost:
    """What a rule has dropped: packets, their bytes (headers included), connections that lost data packets, and
    connection attempts that lost a packet of their handshake."""

    packets: int = 0
    bytes: int = 0
    connections: int = 0
    connects: int = 0
    either: int = 0
    """Connections or attempts, each counted once."""


@dataclass(frozen=True, slots=True)
class Counted:
    lost: Mapping[int, Lost] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Within:
    """Rules in the namespace of one line. Answer: `Counted`."""

    line: str
    nft: str


@dataclass(frozen=True, slots=True)
class Queues:
    """What the queues of the limiters have done so far. Answer: `Queued`."""


@dataclass(frozen=True, slots=True)
class Queue:
    """bytes and packets sent, packets dropped because the queue was full, times that it had to wait."""

    bytes: int
    packets: int
    dropped: int
    overlimits: int


@dataclass(frozen=True, slots=True)
class Queued:
    queues: Mapping[tuple[int, int], Queue]


@dataclass(frozen=True, slots=True)
class Refused:
    """What was asked could not be done."""

    why: str
