"""Which node of a role a call goes to: spread over the nearest healthy ones; a node that fails is ejected for a
while.

Nodes of the caller's own zone are one tier, all others the next. A tier is used while at least half of its nodes are
not ejected, otherwise the next one. When no tier is, the fault is rather the caller's own, or everybody's: then all
nodes of the nearest tier count as healthy (Envoy's panic threshold, by tier).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from harness.system import Host

from .breaker import OPEN, Breaker, BreakerPolicy

EJECTION = BreakerPolicy(consecutive=5, open_s=10.0)
"""A node is ejected after five failures in a row (Envoy's default), or when half of at least 20 calls in 10 s
failed. After 10 s one call tries it."""

PANIC = 0.5
"""The smallest share of a tier that must not be ejected for the tier to be used."""


@dataclass(slots=True, eq=False)
class Member:
    """One node. `breaker` is open while it is ejected. `active`: calls under way. `turn`: of its last call."""

    name: str
    local: bool
    breaker: Breaker | None
    active: int = 0
    turn: int = 0

    async def call[T](self, operation: Callable[[], Awaitable[T]]) -> T:
        self.active += 1
        try:
            # In a panic an ejected node is asked all the same; that tells nothing about the others.
            if self.breaker is None or not self.breaker.ready:
                return await operation()
            return await self.breaker.call(operation)
        finally:
            self.active -= 1


class Balancer:
    """The nodes of one role, or a single node by its name, as one host calls them."""

    def __init__(
        self,
        host: Host,
        name: str,
        policy: BreakerPolicy | None,
        is_neutral: Callable[[Exception], bool],
        on_change: Callable[[str, bool], None],
    ) -> None:
        """`policy` None: nothing is ejected. `on_change` gets a node's name and whether it is ejected now."""

        def member(node: str, zone: str) -> Member:
            def changed(state: str) -> None:
                if state != "half-open":
                    on_change(node, state == OPEN)

            breaker = (
                None
                if policy is None
                else Breaker(node, host.clock, policy, is_neutral=is_neutral, on_change=changed)
            )
            return Member(node, zone == host.zone, breaker)

        members = [member(node.name, node.zone) for node in host.topology.role(name)]
        members = members or [member(name, host.zone)]
        tiers = ([m for m in members if m.local], [m for m in members if not m.local])
        self._tiers = [tier for tier in tiers if tier]
        self._turn = 0

    def pick(self, tried: Collection[Member] = ()) -> Member | None:
        """The node for the next call, other than those `tried`; None when none is left."""
        for tier in self._tiers:
            ready = [m for m in tier if m.breaker is None or m.breaker.ready]
            left = [m for m in ready if m not in tried]
            if left and len(ready) >= PANIC * len(tier):
                return self._next(left)
        for tier in self._tiers:
            if left := [m for m in tier if m not in tried]:
                return self._next(left)
        return None

    def _next(self, members: list[Member]) -> Member:
        self._turn += 1
        chosen = min(members, key=lambda m: (m.active, m.turn))
        chosen.turn = self._turn
        return chosen

    @property
    def remote(self) -> list[Member]:
        return [m for tier in self._tiers for m in tier if not m.local]
