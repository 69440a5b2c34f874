"""What passes on links while a fault is in force: its exposure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace

from harness.faults.exposure import MIN_NOTICEABLE_S, Effects, Exposure
from harness.faults.primitives import LinkShape, PathMatch
from harness.live.kernel.requests import Lost
from harness.live.links import UPSTREAM, Link
from harness.live.toxiproxy import ToxiproxyApi, Traffic


class LinkTraffic:
    """The counts of all links. While a watch is open, those of links that were removed are kept."""

    def __init__(self, api: ToxiproxyApi) -> None:
        self._api = api
        self._links: dict[str, Link] = {}
        self._removed: dict[str, tuple[Link, Traffic]] = {}
        self._watches: set[Watch] = set()

    def add(self, link: Link) -> None:
        self._links[link.name] = link

    async def remove(self, links: Iterable[Link]) -> None:
        """To be called before the proxies are deleted."""
        for link in links:
            if self._watches:
                self._removed[link.name] = (link, await self._api.traffic_of(link.name))
            del self._links[link.name]

    async def watch(self, match: PathMatch) -> Watch:
        """Begin to count what passes on the directions that match."""
        watch = Watch(self, match, await self.read())
        self._watches.add(watch)
        return watch

    def unwatch(self, watch: Watch) -> None:
        self._watches.discard(watch)
        if not self._watches:
            self._removed.clear()

    def matching(self, match: PathMatch) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Names of links, with the directions that match; only links with one at least."""
        for link in (*self._links.values(), *(link for link, _ in self._removed.values())):
            if directions := tuple(link.directions(match)):
                yield link.name, directions

    def serves_client(self, name: str) -> bool:
        """Whether a client is at an end of this link."""
        link = self._links[name] if name in self._links else self._removed[name][0]
        return link.initiator.group is not None

    async def read(self) -> Mapping[str, Traffic]:
        """By the name of the link."""
        removed = {name: traffic for name, (_, traffic) in self._removed.items()}
        return {**removed, **await self._api.traffic()}


class Watch:
    """Counts what passes from its beginning until `end` or `cancel`."""

    def __init__(self, traffic: LinkTraffic, match: PathMatch, before: Mapping[str, Traffic]) -> None:
        self._traffic = traffic
        self._match = match
        self._before = before
        self._exposure: Exposure | None = None

    @property
    def open(self) -> int:
        """Connections that were open at the beginning."""
        names = (name for name, _ in self._traffic.matching(self._match))
        return sum(self._before.get(name, Traffic()).open for name in names)

    async def end(self) -> Exposure:
        """The exposure so far. Idempotent.

        `connections` are those that were open at the beginning or opened since, on links that carried anything:
        proxies count bytes by link, not by connection.
        """
        if self._exposure is not None:
            return self._exposure
        ended = await self._traffic.read()
        exposure = Exposure()
        for name, directions in self._traffic.matching(self._match):
            before, after = self._before.get(name, Traffic()), ended.get(name, Traffic())
            passed = sum(
                after.upstream_bytes - before.upstream_bytes
                if direction == UPSTREAM
                else after.downstream_bytes - before.downstream_bytes
                for direction in directions
            )
            opened = after.accepted - before.accepted
            effects = Effects(connects_blocked=after.unanswered - before.unanswered)
            if passed or opened:
                effects += Effects(connections=before.open + opened, bytes=passed)
            exposure += _attributed(effects, self._traffic.serves_client(name))
        self._exposure = exposure
        self.cancel()
        return self._exposure

    def cancel(self) -> None:
        """Stop counting. Idempotent."""
        self._traffic.unwatch(self)


def _attributed(effects: Effects, client: bool) -> Exposure:
    return Exposure(**asdict(effects)) if client else Exposure(unattributed=effects)


def is_noticeable(shape: LinkShape) -> bool:
    """Whether the proxies do anything that can be noticed."""
    return max(shape.latency_s, shape.jitter_s) >= MIN_NOTICEABLE_S or shape.bandwidth_bps is not None


def link_fault_exposure(shape: LinkShape | None, lost: Lost | None, passed: Exposure) -> Exposure:
    """The exposure of a fault on links. `passed`: what the proxies have counted; `lost`: what the kernel has dropped,
    None for a fault that drops nothing.

    Dropped packets never reach a proxy. A loss that dropped nothing has no exposure, unless the fault also delays or
    limits. The bytes of dropped packets include their headers.
    """
    if shape is not None and not is_noticeable(shape):
        passed = Exposure()
    if lost is None:
        return passed
    if shape is None:
        return Exposure(connections=lost.connections, connects_blocked=lost.connects, bytes=lost.bytes)
    if shape.latency_s or shape.jitter_s or shape.bandwidth_bps is not None:
        return replace(passed, connections=max(passed.connections, lost.either))
    return Exposure(connections=lost.either, bytes=lost.bytes)
