"""The messages between the harness and the agent, the process that holds the kernel network: requests and answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.live.kernel.layout import Line
from harness.runtime.messages import Codec, message


@message
class Build:
    """Make these namespaces and join them to R. Answer: `Built`."""

    lines: tuple[Line, ...]


@message
class Built:
    """Where each namespace can be entered (a path below /proc, by the line's name), and what it is known by."""

    paths: Mapping[str, str]
    inodes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Limit:
    """A queue with a rate in a limiter: `minor` is its class. bit/s of payload, in full packets."""

    stage: int
    minor: int
    rate_bps: float


@message
class Change:
    """First the new limiters and queues, then the rules (nft's own language; all or none), then what goes.
    Answer: `Counted`, of the rules named in `count`, from before the change."""

    nft: str = ""
    stages: tuple[int, ...] = ()
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


@message
class Counted:
    lost: Mapping[int, Lost] = field(default_factory=dict)


@message
class Within:
    """Rules in the namespace of one line. Answer: `Counted`."""

    line: str
    nft: str


@message
class Queues:
    """What the queues of the limiters have done so far. Answer: `Queued`."""


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue of the limiter `stage`: bytes and packets sent, packets dropped because the queue was full, times that it
    had to wait."""

    stage: int
    minor: int
    bytes: int
    packets: int
    dropped: int
    overlimits: int


@message
class Queued:
    queues: tuple[Queue, ...]


@message
class Refused:
    """What was asked could not be done."""

    why: str


CODEC = Codec(Build, Built, Change, Counted, Within, Queues, Queued, Refused)
