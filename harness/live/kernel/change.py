"""`ChangeBuilder`: puts a `Change` of the kernel network together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.live.kernel import ruleset
from harness.live.kernel.requests import Change, Limit
from harness.live.kernel.ruleset import Drop
from harness.live.link_limits import SharedLimit


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
