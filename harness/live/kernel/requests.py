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


@dataclass(slots=True)
class ChangeBuilder:
    """A `Change` in the making."""

    limiters: list[int] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)
    unlimits: list[tuple[int, int]] = field(default_factory=list)
    added: list[Drop] = field(default_factory=list)
    removed: list[Drop] = field(default_factory=list)
    """Each is counted before."""
    _queues: dict[tuple[int, str, bool], dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    _ports: dict[tuple[Drop, str, bool], list[int]] = field(default_factory=lambda: defaultdict(list))

    def drop(self, drop: Drop, flow: Flow, *, add: bool) -> None:
        """Put a flow under a drop, or take it off."""
        self._ports[drop, flow.direction, add].append(flow.port)

    def queue(self, limiter: int, minor: int, flow: Flow, *, add: bool) -> None:
        """Put a flow into a queue, or take it out."""
        self._queues[limiter, flow.direction, add][flow.port] = minor

    def build(self, drops: Iterable[Drop]) -> Change:
        """`drops`: all that are in force afterwards."""
        parts = [ruleset.add_drop(drop) for drop in self.added]
        for (drop, direction, add), ports in self._ports.items():
            parts.append(ruleset.drop_ports(drop, direction, ports, add=add))
        # What leaves a queue first: a port may go from one to another.
        for (limiter, direction, add), by_port in sorted(self._queues.items(), key=lambda item: item[0][2]):
            parts.append(ruleset.queue_ports(limiter, direction, by_port, add=add))
        if self.added or self.removed:
            parts.append(ruleset.enforce_drops(drops))
        parts += [ruleset.remove_drop(drop) for drop in self.removed]
        return Change(
            "".join(parts),
            tuple(self.limiters),
            tuple(self.limits),
            tuple(self.unlimits),
            tuple(drop.number for drop in self.removed),
        )
