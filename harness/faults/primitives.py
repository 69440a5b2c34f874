"""The primitives that a runtime offers and that faults are composed of.

Every primitive that changes something returns an `Applied`: how to undo it, and what it really touched so
far. What a runtime can do is asked before anything starts (`harness.faults.primitives`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, Protocol

from harness.errors import HarnessError
from harness.faults.exposure import Exposure


class Capability(StrEnum):
    """A primitive, or a variant of one that not every runtime has."""

    SHAPE = "shape"
    """Latency, jitter and a rate on a path, for each pair of hosts."""
    SHAPE_LOSS = "shape-loss"
    """`shape` with packet loss."""
    SHARED_RATE = "shared-rate"
    """`shape` with one rate for all matching traffic together."""
    CUT = "cut"
    """Silence on a path, one way."""
    RESET = "reset"
    """Connections are broken with RST."""
    KILL = "kill"
    """The process of a node ends at once."""
    POWER_OFF = "power-off"
    """A node ends at once, and nothing answers for it."""
    START = "start"
    """A node that is down is started again."""
    PAUSE = "pause"
    """The process of a node is stopped and continued."""
    HTTP = "http"
    """HTTP requests at a node are delayed or answered with an error."""
    CPU_LIMIT = "cpu-limit"
    """A node gets a part of one processor core."""
    SKEW = "skew"
    """The wall clock of a node is wrong."""
    DISK = "disk"
    """The disk of a node (`Host.disk`) is slow or fails."""
    RESOLVE = "resolve"
    """Names that a node looks up get other answers."""
    DEPLOY = "deploy"
    """A node is started again with another config."""


@dataclass(frozen=True, slots=True)
class HostIdentity:
    """How a host is matched by targets. Servers have no `group`; clients have one."""

    name: str
    role: str
    zone: str
    group: str | None = None


@dataclass(frozen=True, slots=True)
class EndpointMatch:
    """A set of hosts: the named ones, and every client (present or future) that fits `clients`.

    `everything` matches any host. Resolved from a selector by the engine; picks are already made.
    """

    nodes: frozenset[str] = frozenset()
    clients: ClientMatch | None = None
    everything: bool = False

    def matches(self, peer: HostIdentity) -> bool:
        if self.everything or peer.name in self.nodes:
            return True
        return self.clients is not None and peer.group is not None and self.clients.matches(peer)


@dataclass(frozen=True, slots=True)
class ClientMatch:
    """Clients by role, zone and group, each one or a set of them; None means any."""

    role: str | frozenset[str] | None = None
    zone: str | frozenset[str] | None = None
    group: str | frozenset[str] | None = None

    def matches(self, peer: HostIdentity) -> bool:
        return all(
            wanted is None or (value == wanted if isinstance(wanted, str) else value in wanted)
            for wanted, value in ((self.role, peer.role), (self.zone, peer.zone), (self.group, peer.group))
        )


@dataclass(frozen=True, slots=True)
class PathMatch:
    """Directed: traffic that flows from a host in `src` to a host in `dst`, whoever connected."""

    src: EndpointMatch
    dst: EndpointMatch

    def matches(self, src: HostIdentity, dst: HostIdentity) -> bool:
        return self.src.matches(src) and self.dst.matches(dst)

    def reversed(self) -> PathMatch:
        return PathMatch(self.dst, self.src)


@dataclass(frozen=True, slots=True)
class LinkShape:
    """What is added to a path, one way. Times in seconds, rate in bit/s, loss a probability in [0, 1).

    `bandwidth_bps` limits each (src host, dst host) pair, or with `shared` all matching traffic together.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    bandwidth_bps: float | None = None
    shared: bool = False


type BodyFault = Literal["short", "corrupt", "cut", "replaced"]
"""How the body of a response is wrong (`harness.faults.http_body`)."""


@dataclass(frozen=True, slots=True)
class HttpRule:
    """Interference with HTTP requests at a node, before its own handlers see them, and with the bodies it sends.

    `route` is an fnmatch pattern on the path (`/home*`), `method` None means any. `status` set: answer that
    instead (abort). `delay_s`: wait first. `body`: send the response with a wrong body. `probability` is drawn
    per request from the fault's own stream.
    """

    route: str = "*"
    method: str | None = None
    delay_s: float = 0.0
    status: int | None = None
    body: BodyFault | None = None
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class ClockRule:
    """The wall clock of a node is ahead by `offset_s`, and by `drift` of the time since the rule came into force."""

    offset_s: float = 0.0
    drift: float = 0.0


@dataclass(frozen=True, slots=True)
class DiskRule:
    """Reads and writes of a node's disk take `delay_s` longer; `error`: writes fail, reads fail, or writes are cut."""

    delay_s: float = 0.0
    error: Literal["full", "read", "torn"] | None = None
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class NameRule:
    """What a node looks up: names that fit the fnmatch pattern `host` get `answer` (`wrong`: that of the name `to`)."""

    host: str = "*"
    answer: Literal["error", "empty", "wrong"] | None = None
    to: str | None = None
    delay_s: float = 0.0
    probability: float = 1.0


type HostRule = HttpRule | ClockRule | DiskRule | NameRule
"""What interferes with a node from within its host. Its exposure counts `requests`."""


class Applied(Protocol):
    """A primitive in force. `undo` is idempotent; `exposure` may be read during and after."""

    async def undo(self) -> None: ...

    def exposure(self) -> Exposure: ...


class FaultFailed(HarnessError):
    """A primitive could not be applied or undone: the verdict is `error`, never a pass."""


class Primitives(Protocol):
    """The operations of a runtime that faults are made of. They raise FaultFailed and then leave nothing behind."""

    async def shape(self, path: PathMatch, shape: LinkShape) -> Applied:
        """Latency, jitter, loss, a rate, on all traffic of the path. Several in force add up."""
        ...

    async def cut(self, path: PathMatch) -> Applied:
        """Silence, one way: nothing from src reaches dst (held and retransmitted, as TCP would)."""
        ...

    async def reset(self, path: PathMatch) -> Applied:
        """RST every connection between the two sets now (either direction). Undo does nothing."""
        ...

    async def kill(self, node: str) -> Applied:
        """SIGKILL: the kernel closes its connections (FIN; RST where something was unread or is sent later),
        connects are refused. Undo starts it again.
        """
        ...

    async def power_off(self, node: str) -> Applied:
        """Silence: nothing is answered, not even with RST. Undo starts it; stale connections then get RST."""
        ...

    async def start(self, node: str) -> None:
        """Start a killed or powered-off node; returns when it is ready (listening)."""
        ...

    async def pause(self, node: str) -> Applied:
        """SIGSTOP: the kernel still accepts and buffers, the process does nothing. Undo continues it."""
        ...

    async def interfere(self, node: str, rule: HttpRule) -> Applied:
        """Delay the node's HTTP requests or answer them with an error, before the service sees them."""
        ...

    async def cpu_limit(self, node: str, factor: float) -> Applied:
        """The node gets 1/`factor` of one processor core. Of several at a time the largest factor counts."""
        ...

    async def skew(self, node: str, rule: ClockRule) -> Applied:
        """The wall clock of the node is wrong. Several in force add up."""
        ...

    async def disk(self, node: str, rule: DiskRule) -> Applied:
        """The disk of the node is slow or fails."""
        ...

    async def resolve(self, node: str, rule: NameRule) -> Applied:
        """Names that the node looks up get another answer. Of several in force the first counts."""
        ...

    async def deploy(self, node: str, config: Mapping[str, Any]) -> Applied:
        """Kill the node; from now on these keys replace those of its config. Undo starts it, with the new config."""
        ...


@dataclass(frozen=True, slots=True)
class ResolvedTarget:
    """`nodes`: the servers, in the order of the topology; empty where the target is a link.

    `path`: for a link, the traffic from its `from` end to its `to` end. For hosts, everything that flows
    towards them (so that a link fault on hosts means all their traffic). The reverse is `path.reversed()`.
    `names`: what people are shown, e.g. `("edge-a-1", "edge-a-2")` or `("edge > storage",)`.
    """

    nodes: tuple[str, ...]
    path: PathMatch
    names: tuple[str, ...]


class CompositeApplied:
    """An `Applied` of several. `undo` undoes all of them at the same moment, even when one fails."""

    def __init__(self, parts: Sequence[Applied]) -> None:
        self._parts = tuple(parts)

    async def undo(self) -> None:
        # Concurrently: nodes that were stopped at one moment are started at one moment.
        outcomes = await asyncio.gather(*(part.undo() for part in self._parts), return_exceptions=True)
        _raise_first(outcomes)

    def exposure(self) -> Exposure:
        return sum((part.exposure() for part in self._parts), Exposure())


async def apply_all(steps: Iterable[Awaitable[Applied]]) -> Applied:
    """Await the steps in order. When one raises, what was applied is undone before it is raised again."""
    parts: list[Applied] = []
    pending = iter(steps)
    try:
        for step in pending:
            parts.append(await step)
    except BaseException as failure:
        for left in pending:
            _discard(left)
        try:
            await CompositeApplied(parts).undo()
        except Exception as error:
            raise FaultFailed(f"{failure}; and undoing what was applied failed: {error}") from failure
        raise
    if not parts:
        raise FaultFailed("the target holds no host to apply the fault to")
    return parts[0] if len(parts) == 1 else CompositeApplied(parts)


def _discard(step: Awaitable[Applied]) -> None:
    close = getattr(step, "close", None)
    if close is not None:
        close()


def _raise_first(outcomes: Sequence[BaseException | None]) -> None:
    failures = [outcome for outcome in outcomes if outcome is not None]
    for failure in failures:
        if not isinstance(failure, Exception):
            raise failure
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise FaultFailed("; ".join(str(failure) for failure in failures)) from failures[0]
