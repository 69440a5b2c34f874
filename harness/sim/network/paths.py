"""`Paths`: the path from each machine to each other, and the impairments in force on them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.faults.primitives import LinkShape, PathMatch
from harness.runtime.routes import Routes
from harness.sim.network.path import Impairment, Path, Pipes, make_path
from harness.system import Link

if TYPE_CHECKING:
    from harness.sim.network.machine import Machine

LOOPBACK_S = 0.00005
"""Latency from a machine to itself."""


class Paths:
    """Made when they are first used. `changed` is called when all of them are made anew; `now_s` is the time."""

    def __init__(self, now_s: Callable[[], float], changed: Callable[[], None]) -> None:
        self._now_s = now_s
        self.routes = Routes()
        self._pipes = Pipes()
        self._impairments: dict[Impairment, None] = {}
        self._changed = changed

    def add_link(self, link: Link) -> None:
        self.routes.add(link)
        self._changed()

    def impair(self, match: PathMatch, *, shape: LinkShape | None = None, cut: bool = False) -> Impairment:
        """Change all traffic that matches, of existing connections and of new ones, until `Impairment.remove()`."""
        impairment = Impairment(match, shape, cut, self._now_s(), self._remove)
        self._impairments[impairment] = None
        self._changed()
        return impairment

    def _remove(self, impairment: Impairment) -> None:
        if impairment in self._impairments:
            del self._impairments[impairment]
            self._changed()

    def find(self, src: Machine, dst: Machine) -> Path:
        """The path from one machine to the other, as it is now."""
        path = src.paths.get(dst)
        if path is None:
            path = self._make(src, dst)
            if not (src.removed or dst.removed):
                # In both directions at once, so that each knows who remembers it.
                src.paths[dst] = path
                if src not in dst.paths:
                    dst.paths[src] = self._make(dst, src)
        return path

    def _make(self, src: Machine, dst: Machine) -> Path:
        if src is dst:
            return Path(LOOPBACK_S, 0.0, 0.0, (), math.inf, False)
        impairments = tuple(
            impairment
            for impairment in self._impairments
            if impairment.match.matches(src.identity, dst.identity)
        )
        route = self.routes.find(src.identity.zone, dst.identity.zone)
        pair = f"{src.identity.name}>{dst.identity.name}"
        if route is None:
            return Path(0.0, 0.0, 0.0, (), 0.0, True)
        rtt_s = src.attach_rtt_s + route.rtt_s + dst.attach_rtt_s
        return make_path((*src.up, *route.hops, *dst.down), self._pipes, rtt_s, impairments, pair)
