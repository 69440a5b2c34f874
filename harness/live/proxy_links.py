"""`ProxyLinks`: a proxy for every (host, node) pair that talks, and the faults that lie on them.

Every host has proxies of its own, made when it first asks for a node, so that whoever opens a connection is known
by the proxy it comes through. The base of a wire is the topology's: latency, and a client's access rates.
With the kernel network (`harness.live.kernel`) the proxies do latency and jitter only; the rest is real.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from harness.faults.primitives import Exposure, FaultFailed, HostIdentity, LinkShape, PathMatch
from harness.live.host import real_port
from harness.live.kernel.caps import shared_links
from harness.live.kernel.controller import DOWN, MOST_BPS, UP, Cap, Controller, Flow
from harness.live.kernel.requests import Lost
from harness.live.messages import Address
from harness.live.toxiproxy import FOREVER_MS, Toxic, ToxiproxyApi, Traffic
from harness.runtime.routes import ATTACH_RTT_S, Hop, Routes, loss_limit_Bps
from harness.system import Access, Topology

UPSTREAM, DOWNSTREAM = "upstream", "downstream"
PROXIED_BPS = 1e9
"""Links of the topology that are faster are not limited by proxies, which do not reach such rates on every machine."""


@dataclass(frozen=True, slots=True)
class Way:
    """What one direction of a wire is made of before any fault: s, s, bit/s, share of the packets lost. `caps` are
    the limits that it shares with others."""

    latency_s: float
    jitter_s: float
    bandwidth_bps: float
    loss: float = 0.0
    caps: tuple[Cap, ...] = ()


@dataclass(eq=False, slots=True)
class Wire:
    """The proxy between one host and one port of one node."""

    name: str
    opener: HostIdentity
    target: HostIdentity
    port: int
    toxics: tuple[Toxic, ...]
    rtt_s: float
    address: Address | None = None
    flows: Mapping[str, Flow] = field(default_factory=dict)
    """By direction, with the kernel network."""
    silent: bool = False
    """Whether connects get no answer now."""


@dataclass(eq=False, slots=True)
class Rule:
    """A fault on all wires that fit `match`, one way, present and future."""

    number: int
    match: PathMatch
    shape: LinkShape | None
    """None: nothing passes."""
    by_kernel: bool = False
    """Whether the kernel does all but latency and jitter."""
    extended: bool = True
    """Whether the proxies have our additions."""

    def toxics(self, wire: Wire) -> Iterator[Toxic]:
        for stream in streams(wire, self.match):
            name = f"fault-{self.number}-{stream}"
            if self.shape is None:
                if not self.by_kernel:
                    yield Toxic(f"{name}-cut", "latency", stream, {"latency": FOREVER_MS})
                continue
            yield from _delayed(name, stream, self.shape.latency_s, self.shape.jitter_s, self.extended)
            if self.by_kernel:
                yield from _limited(name, stream, _left_by(self.shape.loss, wire.rtt_s))
            elif self.shape.bandwidth_bps is not None:
                yield from _limited(name, stream, self.shape.bandwidth_bps, self._group(wire, stream))

    def _group(self, wire: Wire, stream: str) -> str:
        """Which connections share the rate: those from one host to another, or all of them."""
        assert self.shape is not None
        if not self.extended:
            return ""
        if self.shape.shared:
            return f"fault-{self.number}"
        ends = (wire.opener.name, wire.target.name)
        src, dst = ends if stream == UPSTREAM else reversed(ends)
        return f"fault-{self.number} {src} > {dst}"


class ProxyLinks:
    """`addresses`: where each node is; `listen`: where the proxies listen; `plane`: the kernel network;
    `prefix`: of the names of the proxies."""

    def __init__(
        self,
        api: ToxiproxyApi,
        topology: Topology,
        addresses: Mapping[str, str],
        listen: str,
        plane: Controller | None = None,
        prefix: str = "",
    ) -> None:
        self._api = api
        self._prefix = prefix
        self.plane = plane
        self._addresses = addresses
        self._listen = listen
        self.listen_clients = listen
        """Where proxies of clients listen: elsewhere than others' when clients are on other machines."""
        self._peers = {node.name: HostIdentity(node.name, node.role, node.zone) for node in topology.nodes}
        self._routes = Routes()
        for link in topology.links:
            self._routes.add(link)
        self._links = shared_links(self._routes, topology, PROXIED_BPS if plane is None else MOST_BPS)
        self._access: dict[str, Access] = {}
        self._wires: dict[tuple[str, str, int], Wire] = {}
        self._rules: dict[Rule, None] = {}
        self._refused: set[str] = set()
        self._gone: dict[str, tuple[Wire, Traffic]] = {}
        """ProxyLinks of clients that left while somebody was counting."""
        self._watchers = 0
        self._numbers = count(1)
        self.made = 0
        # One change at a time: a wire that is being made while a fault comes must not miss it.
        self._changing = asyncio.Lock()

    # ------------------------------------------------------------------ wires

    def attach(self, client: HostIdentity, access: Access) -> None:
        """A client comes, through this access link."""
        self._access[client.name] = access

    async def detach(self, client: HostIdentity) -> None:
        """A client has left: its proxies go."""
        async with self._changing:
            gone = [key for key in self._wires if key[0] == client.name]
            wires = [self._wires.pop(key) for key in gone]
            del self._access[client.name]
            if self._watchers:
                for wire in wires:
                    self._gone[wire.name] = (wire, await self._api.traffic_of(wire.name))
            await asyncio.gather(*(self._api.delete(wire.name) for wire in wires))
            if self.plane is not None:
                await self.plane.closed(wire.address.port for wire in wires if wire.address is not None)

    async def route(self, opener: HostIdentity, name: str, port: int) -> tuple[Address, ...]:
        """Addresses of a node or of all nodes of a role: own zone first, then by round trip, then by name."""
        targets = [peer for peer in self._peers.values() if name in (peer.name, peer.role)]
        targets.sort(key=lambda peer: (*self._routes.distance(opener.zone, peer.zone), peer.name))
        missing = [peer for peer in targets if (opener.name, peer.name, port) not in self._wires]
        if missing:
            # To its end, also when whoever asked is cancelled meanwhile.
            await asyncio.shield(asyncio.ensure_future(self._make(opener, missing, port)))
        wires = [self._wires[opener.name, peer.name, port] for peer in targets]
        return tuple(wire.address for wire in wires if wire.address is not None)

    async def _make(self, opener: HostIdentity, targets: Sequence[HostIdentity], port: int) -> None:
        async with self._changing:
            await self._make_now(opener, targets, port)

    async def _make_now(self, opener: HostIdentity, targets: Sequence[HostIdentity], port: int) -> None:
        wires = []
        for target in targets:
            if (opener.name, target.name, port) in self._wires:
                continue
            ways = self._ways(opener, target)
            name = f"{self._prefix}{opener.name}~{target.name}~{port}"
            rtt_s = sum(way.latency_s for way in ways)
            wires.append(Wire(name, opener, target, port, tuple(self._base(ways, rtt_s)), rtt_s))
        if not wires:
            return
        documents = []
        for wire in wires:
            toxics = (*wire.toxics, *(toxic for rule in self._rules for toxic in rule.toxics(wire)))
            wire.silent = self._silent(wire)
            documents.append(
                {
                    **({"accepting": False} if wire.silent else {}),
                    "name": wire.name,
                    "listen": f"{self._listen_for(wire.opener)}:0",
                    "upstream": f"{self._addresses[wire.target.name]}:{real_port(port)}",
                    "enabled": True,
                    "toxics": [toxic.document() for toxic in toxics],
                }
            )
        answer = await self._api.populate(documents)
        made = {proxy["name"]: proxy for proxy in answer}
        for wire in wires:
            host, _, real = made[wire.name]["listen"].rpartition(":")
            wire.address = Address(wire.target.name, host, int(real), wire.rtt_s)
            there = {toxic["name"] for toxic in made[wire.name].get("toxics") or ()}
            for toxic in (*wire.toxics, *(t for rule in self._rules for t in rule.toxics(wire))):
                if toxic.name not in there:  # a server that does not take toxics in populate
                    await self._api.add(wire.name, toxic)
            if wire.target.name in self._refused and not wire.silent:
                # Only once it listens has it a port, which it then keeps.
                await self._api.enable(wire.name, False)
        if self.plane is not None:
            await self._lay(self.plane, wires)
        for wire in wires:
            self._wires[wire.opener.name, wire.target.name, port] = wire
            self.made += 1

    def _listen_for(self, opener: HostIdentity) -> str:
        return self.listen_clients if opener.name in self._access else self._listen

    def _base(self, ways: Sequence[Way], rtt_s: float) -> Iterator[Toxic]:
        for stream, way in zip((UPSTREAM, DOWNSTREAM), ways, strict=True):
            name = f"base-{stream}"
            yield from _delayed(name, stream, way.latency_s, way.jitter_s, self._api.extended)
            if self.plane is not None:
                yield from _limited(name, stream, _left_by(way.loss, rtt_s))
            elif self._api.extended:
                for number, cap in enumerate(way.caps, start=1):
                    yield from _limited(f"{name}-{number}", stream, cap.rate_bps, f"{cap.group} {cap.key}")
            elif way.caps:
                yield from _limited(name, stream, min(cap.rate_bps for cap in way.caps))

    async def _lay(self, plane: Controller, wires: Iterable[Wire]) -> None:
        """Have the kernel know wires that are new, and what lies on them."""
        rules: dict[Flow, list[int]] = {}
        for wire in wires:
            assert wire.address is not None
            opener, target = wire.opener.name, wire.target.name
            up, down = self._ways(wire.opener, wire.target)
            wire.flows = {
                UPSTREAM: Flow(wire.address.port, UP, opener, target, up.caps, up.loss),
                DOWNSTREAM: Flow(wire.address.port, DOWN, target, opener, down.caps, down.loss),
            }
            for stream, flow in wire.flows.items():
                rules[flow] = [rule.number for rule in self._rules if stream in streams(wire, rule.match)]
        await plane.opened(rules)

    def _ways(self, opener: HostIdentity, target: HostIdentity) -> tuple[Way, Way]:
        """There and back. Through proxies nothing is lost."""
        route = self._routes.find(opener.zone, target.zone)
        if route is None:
            raise FaultFailed(f"the topology has no way from zone {opener.zone} to zone {target.zone}")
        latency_s = (self._attach_s(opener) + route.rtt_s + self._attach_s(target)) / 2
        jitter_s = sum(hop.jitter_s for hop in route.hops)
        access = self._access.get(opener.name)
        rates = (math.inf, math.inf)
        if access is not None:
            jitter_s += access.jitter_s / 2
            rates = (access.up_bps, access.down_bps)
        up, down = (
            self._way(src, dst, Way(latency_s, jitter_s, rate_bps), access)
            for (src, dst), rate_bps in zip(((opener, target), (target, opener)), rates, strict=True)
        )
        return up, down

    def _way(self, src: HostIdentity, dst: HostIdentity, way: Way, access: Access | None) -> Way:
        """What is shared on it, and what gets lost."""
        through, caps = 1.0, []
        if access is not None:
            client = src.name if src.name in self._access else dst.name
            through = 1.0 - access.loss
            caps.append(Cap("access", (src.name == client, client), way.bandwidth_bps))
        for hop in self._hops(src, dst):
            through *= 1.0 - hop.loss
            if hop.name in self._links:
                caps.append(Cap(("link", self._links[hop.name]), hop.name, hop.bandwidth_bps))
        return replace(way, loss=round(1.0 - through, 9), caps=tuple(caps))

    def _hops(self, src: HostIdentity, dst: HostIdentity) -> Iterator[Hop]:
        for a, b in ((src.name, src.zone), (src.zone, dst.zone), (dst.zone, dst.name)):
            if self._routes.has(a) and self._routes.has(b) and (route := self._routes.find(a, b)) is not None:
                yield from route.hops

    def _attach_s(self, peer: HostIdentity) -> float:
        """Round trip between a host and its zone."""
        access = self._access.get(peer.name)
        if access is not None:
            return access.rtt_s
        way = self._routes.find(peer.name, peer.zone) if self._routes.has(peer.name) else None
        return ATTACH_RTT_S if way is None else way.rtt_s

    # ------------------------------------------------------------------ faults

    async def add(self, match: PathMatch, shape: LinkShape | None) -> Rule:
        """Put a fault on all wires that fit, until `remove`. FaultFailed for what this network cannot do."""
        if self.plane is None and (problem := unable(shape, self._api.extended)):
            raise FaultFailed(problem)
        rule = Rule(next(self._numbers), match, shape, self.plane is not None, self._api.extended)
        async with self._changing:
            self._rules[rule] = None
            try:
                if self.plane is not None:
                    flows = [w.flows[s] for w in self._wires.values() for s in streams(w, match)]
                    await self.plane.add(rule.number, shape, flows)
                await _each(
                    self._api.add(wire.name, toxic)
                    for wire in self._wires.values()
                    for toxic in rule.toxics(wire)
                )
                await self._doors()
            except BaseException:
                await self._take_off(rule)
                raise
        return rule

    async def remove(self, rule: Rule) -> Lost | None:
        """What the kernel has dropped for it; None when that is not its way."""
        async with self._changing:
            return await self._take_off(rule) if rule in self._rules else None

    async def _take_off(self, rule: Rule) -> Lost | None:
        del self._rules[rule]
        lost = await self.plane.remove(rule.number) if self.plane is not None else None
        await _each(
            self._api.remove(wire.name, toxic.name)
            for wire in self._wires.values()
            for toxic in rule.toxics(wire)
        )
        await self._doors()
        return lost

    def _silent(self, wire: Wire) -> bool:
        """Whether connects get no answer: nothing passes one way or the other. (The kernel network drops packets.)"""
        able = self.plane is None and self._api.extended
        return able and any(rule.shape is None and any(streams(wire, rule.match)) for rule in self._rules)

    async def _doors(self) -> None:
        """Open and shut what connects come to, as the cuts now are."""
        changed = [wire for wire in self._wires.values() if self._silent(wire) != wire.silent]
        await _each(self._door(wire) for wire in changed)

    async def _door(self, wire: Wire) -> None:
        wire.silent = not wire.silent
        refused = wire.target.name in self._refused
        if wire.silent:
            await self._api.accept(wire.name, False)
            if refused:  # behind silence nobody hears a refusal
                await self._api.enable(wire.name, True)
        else:
            if refused:
                await self._api.enable(wire.name, False)
            await self._api.accept(wire.name, True)

    async def watch(self, match: PathMatch) -> Watch:
        """Begin to count what passes on the ways that fit. End it with `Watch.end`."""
        self._watchers += 1
        return Watch(self, match, await self.traffic())

    def unwatch(self) -> None:
        self._watchers -= 1
        if not self._watchers:
            self._gone.clear()

    def streams(self, match: PathMatch) -> dict[str, tuple[str, ...]]:
        """Which directions of which wires fit, by wire."""
        wires = (*self._wires.values(), *(wire for wire, _ in self._gone.values()))
        return {wire.name: tuple(streams(wire, match)) for wire in wires}

    async def refuse(self, node: str, refused: bool) -> None:
        """Whether connects to this node are refused."""
        async with self._changing:
            if refused == (node in self._refused):
                return
            (self._refused.add if refused else self._refused.discard)(node)
            try:
                await _each(
                    # What its kernel has already sent still arrives, as over any network; then comes the end.
                    self._api.enable(wire.name, not refused, drain=refused)
                    for wire in self._wires.values()
                    if wire.target.name == node and not wire.silent
                )
            except FaultFailed:
                if not refused:
                    self._refused.add(node)  # so that it can be tried again
                raise

    async def reset(self, match: PathMatch) -> Exposure:
        """RST every open connection between the two sets, whichever side opened it."""
        async with self._changing:
            wires = [
                wire
                for wire in self._wires.values()
                if match.matches(wire.opener, wire.target) or match.matches(wire.target, wire.opener)
            ]
            counts = await asyncio.gather(*(self._api.reset_connections(wire.name) for wire in wires))
        return Exposure(connections=sum(counts), resets=sum(counts))

    async def traffic(self) -> dict[str, Traffic]:
        """By wire, those of clients that left while somebody watches included."""
        gone = {name: traffic for name, (_, traffic) in self._gone.items()}
        return {**gone, **await self._api.traffic()}


class Watch:
    """Counts what passes between its beginning and its end, on all wires that fit."""

    def __init__(self, wires: ProxyLinks, match: PathMatch, begun: Mapping[str, Traffic]) -> None:
        self._wires = wires
        self._match = match
        self._begun = begun
        self._exposure: Exposure | None = None

    @property
    def open(self) -> int:
        """Connections that were open at the beginning."""
        return sum(self._begun.get(name, Traffic()).open for name, ways in self._fitting() if ways)

    def _fitting(self) -> Iterable[tuple[str, tuple[str, ...]]]:
        return self._wires.streams(self._match).items()

    async def end(self) -> Exposure:
        """Idempotent. A wire that carried nothing counts nothing; `connections` are those that were open at the
        beginning and those opened since, on wires that carried something: proxies count bytes by wire, not by
        connection."""
        if self._exposure is not None:
            return self._exposure
        ended = await self._wires.traffic()
        connections = blocked = n_bytes = 0
        for name, ways in self._fitting():
            before, after = self._begun.get(name, Traffic()), ended.get(name, Traffic())
            passed = sum(
                after.upstream_bytes - before.upstream_bytes
                if way == UPSTREAM
                else after.downstream_bytes - before.downstream_bytes
                for way in ways
            )
            opened = after.accepted - before.accepted
            blocked += after.unanswered - before.unanswered if ways else 0
            if ways and (passed or opened):
                connections += before.open + opened
                n_bytes += passed
        self._exposure = Exposure(connections=connections, connects_blocked=blocked, bytes=n_bytes)
        self._wires.unwatch()
        return self._exposure


def streams(wire: Wire, match: PathMatch) -> Iterator[str]:
    """The directions of a wire whose traffic fits."""
    if match.matches(wire.opener, wire.target):
        yield UPSTREAM
    if match.matches(wire.target, wire.opener):
        yield DOWNSTREAM


ELSEWHERE = "needs --network kernel (root), or virtual time (--runtime sim)"


def unable(shape: LinkShape | None, extended: bool = True) -> str | None:
    """Why proxies cannot do this; None when they can. `extended`: they have our additions."""
    if shape is None:
        return None
    if shape.loss:
        return f"a proxy cannot lose packets of a TCP stream; loss {ELSEWHERE}"
    if shape.shared and not extended:
        return (
            "this Toxiproxy server limits each connection, not all of them together; 'shared' works without "
            f"--toxiproxy, or {ELSEWHERE}"
        )
    return None


def _left_by(loss: float, rtt_s: float) -> float:
    """The rate, in bit/s, that loss leaves of a connection. Packets are lost on a leg without latency, where TCP
    recovers at once; what the round trip would make of it is the proxy's to do."""
    return loss_limit_Bps(loss, rtt_s) * 8


def _delayed(name: str, stream: str, latency_s: float, jitter_s: float, fine: bool) -> Iterator[Toxic]:
    """In whole milliseconds, or `fine`, in microseconds."""
    latency_us, jitter_us = round(latency_s * 1e6), round(min(jitter_s, latency_s) * 1e6)
    latency_ms, jitter_ms = round(latency_us / 1e3), round(jitter_us / 1e3)
    if fine and (latency_us or jitter_us):
        attributes = {"latency_us": latency_us, "jitter_us": jitter_us}
        yield Toxic(f"{name}-latency", "latency", stream, attributes)
    elif not fine and (latency_ms or jitter_ms):
        yield Toxic(f"{name}-latency", "latency", stream, {"latency": latency_ms, "jitter": jitter_ms})


def _limited(name: str, stream: str, bandwidth_bps: float, group: str = "") -> Iterator[Toxic]:
    """`group`: connections that share the rate; each has its own if it is empty."""
    if math.isfinite(bandwidth_bps):
        # Toxiproxy's unit is 1,000 bytes a second, a whole number of them; 0 would let nothing pass.
        attributes: dict[str, int | str] = {"rate": max(1, round(bandwidth_bps / 8e3))}
        yield Toxic(
            f"{name}-bandwidth", "bandwidth", stream, attributes | ({"group": group} if group else {})
        )


async def _each(calls: Iterable[Awaitable[None]]) -> None:
    """All of them, even when one fails; then the first failure is raised."""
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        if outcome is not None:
            raise outcome
