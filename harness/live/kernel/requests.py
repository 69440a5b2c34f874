"""The requests to the agent, the process that holds the kernel network, and its answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from harness.live.kernel import ruleset
from harness.live.kernel.layout import NamespacePlan
from harness.live.kernel.ruleset import Drop
from harness.live.links import SharedLimit
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


@dataclass(frozen=True, slots=True)
class Flow:
    """The packets of one direction at the port of a proxy: `direction` to or from the proxy, from host `src` to `dst`.

    `limits` and `loss` are the topology's.
    """

    port: int
    direction: str
    src: str
    dst: str
    limits: tuple[SharedLimit, ...] = field(default=(), compare=False)
    loss: float = field(default=0.0, compare=False)


class ChangeBuilder:
    def __init__(self) -> None:
        self._before: list[str] = []
        self._after: list[str] = []
        self._drops_changed = False
        self._limiters: list[int] = []
        self._limits: list[Limit] = []
        self._unlimits: list[tuple[int, int]] = []
        self._count: list[int] = []
        self._queued: dict[tuple[int, str], dict[int, int]] = defaultdict(dict)
        self._unqueued: dict[tuple[int, str], dict[int, int]] = defaultdict(dict)
        self._ports: dict[tuple[Drop, str, bool], list[int]] = defaultdict(list)

    def add_drop(self, drop: Drop) -> None:
        self._before.append(ruleset.add_drop(drop))
        self._drops_changed = True

    def remove_drop(self, drop: Drop) -> None:
        """It is counted before."""
        self._after.append(ruleset.remove_drop(drop))
        self._drops_changed = True
        self._count.append(drop.number)

    def drop(self, drop: Drop, flow: Flow, *, add: bool) -> None:
        """Put a flow under a drop, or take it off."""
        self._ports[drop, flow.direction, add].append(flow.port)

    def add_limiter(self, limiter: int) -> None:
        self._limiters.append(limiter)

    def add_queue(self, limiter: int, minor: int, rate_bps: float) -> None:
        self._limits.append(Limit(limiter, minor, rate_bps))

    def remove_queue(self, limiter: int, minor: int) -> None:
        self._unlimits.append((limiter, minor))

    def queue(self, limiter: int, minor: int, flow: Flow, *, add: bool) -> None:
        """Put a flow into a queue, or take it out."""
        queues = self._queued if add else self._unqueued
        queues[limiter, flow.direction][flow.port] = minor

    def build(self, drops: Iterable[Drop]) -> Change:
        """`drops`: all that are in force afterwards."""
        parts = list(self._before)
        for (drop, direction, add), ports in self._ports.items():
            parts.append(ruleset.drop_ports(drop, direction, ports, add=add))
        for queues, add in ((self._unqueued, False), (self._queued, True)):
            for (limiter, direction), by_port in queues.items():
                parts.append(ruleset.queue_ports(limiter, direction, by_port, add=add))
        if self._drops_changed:
            parts.append(ruleset.enforce_drops(drops))
        parts += self._after
        return Change(
            "".join(parts),
            tuple(self._limiters),
            tuple(self._limits),
            tuple(self._unlimits),
            tuple(self._count),
        )
