"""The messages between the harness and the agent, the process that holds the kernel network: requests and answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.live.kernel.layout import NamespacePlan
from harness.runtime.messages import Codec, message


@message
class Build:
    """Make these namespaces and join them to R. Answer: `Built`."""

    namespaces: tuple[NamespacePlan, ...]


@message
class Built:
    """By name: where each namespace can be entered (a path below /proc), and its inode."""

    paths: Mapping[str, str]
    inodes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Limit:
    """A queue with a rate (bit/s of payload, in full packets) in a limiter. `minor`: its class."""

    limiter: int
    minor: int
    rate_bps: float


@message
class Change:
    """Add limiters and queues, then change the rules (nft's own language; all or none), then remove queues.

    `count`: the rules to count before the change. Answer: `Counted`.
    """

    nft: str = ""
    limiters: tuple[int, ...] = ()
    limits: tuple[Limit, ...] = ()
    unlimits: tuple[tuple[int, int], ...] = ()
    count: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Lost:
    """What a rule has dropped: packets, their bytes (headers included), connections that lost data, and connection
    attempts that lost a packet of their handshake."""

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
    """Change the rules of one namespace. Answer: `Counted`."""

    namespace: str
    nft: str


@message
class Refused:
    """The request failed."""

    reason: str


CODEC = Codec(Build, Built, Change, Counted, Within, Refused)
