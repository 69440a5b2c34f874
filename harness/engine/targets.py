"""From a selector to hosts: which nodes, clients and paths a fault's target means in this run."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator

from harness.diagnostics import Code, Diagnostic, unknown_name
from harness.errors import InvalidInput
from harness.experiment.model import Names, Selector, Target, names_of
from harness.faults.primitives import ClientMatch, EndpointMatch, PathMatch, ResolvedTarget
from harness.system import Node, System


class TargetError(InvalidInput):
    """A selector that cannot be resolved. The paths of its diagnostics begin at the target."""


def resolve(
    target: Target, system: System, seed: int, draw: int | str, *, nodes_only: bool = False
) -> ResolvedTarget:
    """The hosts of `target`. What is picked is drawn from the seed and `draw`.

    `draw`: the fault's place in the timeline, or the name of the target.

    `nodes_only`, for faults on nodes: clients do not count, and a target without a server is refused.
    Raises TargetError with every reason: an unknown role, zone, node or group, a selector that matches
    nothing, a pick of more than there are.
    """
    if target.link is None:
        hosts = _Hosts(target, system, random.Random(f"{seed}:target:{draw}"))
        if nodes_only and not hosts.problems:
            hosts.clients = None
            if not hosts.nodes:
                found = f"{_format(target)} matches clients only"
                hosts.problems.append(Diagnostic(Code.NO_MATCH, found, "this fault acts on servers"))
        if hosts.problems:
            raise TargetError(hosts.problems)
        path = PathMatch(EndpointMatch(everything=True), hosts.match)
        return ResolvedTarget(tuple(node.name for node in hosts.nodes), path, hosts.names)
    problems = [
        Diagnostic(
            Code.CONFLICT, f"'{name}' beside 'link'", "put it into one end of the link", "", (name,), True
        )
        for name in ("role", "zone", "node", "group", "pick")
        if getattr(target, name) is not None
    ]
    ends = []
    for side, end in (("from", target.link.from_), ("to", target.link.to)):
        selector = Selector(role=end) if isinstance(end, str) else end
        hosts = _Hosts(selector, system, random.Random(f"{seed}:target:{draw}:{side}"))
        problems += [one.below(("link", side)) for one in hosts.problems]
        ends.append(hosts)
    if problems:
        raise TargetError(problems)
    name = " > ".join(", ".join(end.names) for end in ends)
    return ResolvedTarget((), PathMatch(ends[0].match, ends[1].match), (name,))


class _Hosts:
    """One selector, resolved: servers in the order of the topology, and clients by role, zone and group."""

    def __init__(self, selector: Selector, system: System, rng: random.Random) -> None:
        self.problems = list(_unknown_names(selector, system))
        self.nodes: tuple[Node, ...] = ()
        self.clients: ClientMatch | None = None
        if self.problems:
            return
        self.nodes = tuple(node for node in system.topology.nodes if _matches(node, selector))
        self.clients = _clients(selector, system)
        if not self.nodes and self.clients is None:
            self.problems.append(_matches_nothing(selector, system))
        elif selector.pick is not None:
            self._pick(selector.pick, rng)

    def _pick(self, pick: int | str, rng: random.Random) -> None:
        def problem(code: Code, found: str, allowed: str) -> None:
            self.problems.append(Diagnostic(code, found, allowed, "", ("pick",)))

        most = len(self.nodes)
        if not most:
            problem(Code.NO_MATCH, "'pick' draws among nodes", "select clients by group or zone")
            return
        count = _count(pick, most)
        if count is None:
            allowed = f"expected a number from 1 to {most} or a share such as 50%"
            problem(Code.BAD_VALUE, f"found pick: {pick}", allowed)
        elif count > most:
            names = ", ".join(node.name for node in self.nodes)
            problem(Code.NO_MATCH, f"pick: {pick} is more than the {most} that match", f"they are {names}")
        else:
            chosen = sorted(rng.sample(range(most), count))
            self.nodes = tuple(self.nodes[index] for index in chosen)
            self.clients = None

    @property
    def match(self) -> EndpointMatch:
        return EndpointMatch(frozenset(node.name for node in self.nodes), self.clients)

    @property
    def names(self) -> tuple[str, ...]:
        names = [node.name for node in self.nodes]
        if self.clients is not None:
            group, role, zone = map(_words, (self.clients.group, self.clients.role, self.clients.zone))
            kind = " ".join(word for word in (group, role) if word is not None) or "clients"
            names.append(kind if zone is None else f"{kind} in {zone}")
        return tuple(names)


def _words(value: str | frozenset[str] | None) -> str | None:
    return value if value is None or isinstance(value, str) else " or ".join(sorted(value))


def _allows(wanted: Names | None, *values: str) -> bool:
    """Whether one of the values is wanted."""
    names = names_of(wanted)
    return names is None or not {*names}.isdisjoint(values)


def _matches(node: Node, selector: Selector) -> bool:
    """Servers have no group: a selector with one matches clients only."""
    return (
        selector.group is None
        and _allows(selector.role, node.role)
        and _allows(selector.zone, node.zone)
        and _allows(selector.node, node.name)
    )


def _clients(selector: Selector, system: System) -> ClientMatch | None:
    """The clients that match: of a workload's role, of a group, or all of a zone where only that is given."""
    if selector.node is not None:
        return None
    for workload in system.workloads:
        if (
            _allows(selector.role, workload.role)
            and _allows(selector.group, *workload.groups)
            and _allows(selector.zone, *workload.zones)
        ):
            return ClientMatch(_one_of(selector.role), _one_of(selector.zone), _one_of(selector.group))
    return None


def _one_of(names: Names | None) -> str | frozenset[str] | None:
    return names if names is None or isinstance(names, str) else frozenset(names)


def _unknown_names(selector: Selector, system: System) -> Iterator[Diagnostic]:
    topology = system.topology
    known = {
        "role": [*topology.roles, *(workload.role for workload in system.workloads)],
        "zone": [*topology.zones, *(zone for workload in system.workloads for zone in workload.zones)],
        "node": [node.name for node in topology.nodes],
        "group": [group for workload in system.workloads for group in workload.groups],
    }
    given = {key: getattr(selector, key) for key in known if getattr(selector, key) is not None}
    if not given:
        yield Diagnostic(Code.EMPTY, "the target is empty", "give at least one of role, zone, node, group")
    for key, value in given.items():
        for place, name in enumerate(names_of(value) or ()):
            if name not in known[key]:
                path = (key,) if isinstance(value, str) else (key, place)
                yield unknown_name(key, name, known[key], f"system {system.name}").below(path)


def _matches_nothing(selector: Selector, system: System) -> Diagnostic:
    same_role = [
        node
        for node in system.topology.nodes
        if selector.role is not None and _allows(selector.role, node.role)
    ]
    zones = ", ".join(dict.fromkeys(node.zone for node in same_role))
    allowed = f"{', '.join(names_of(selector.role) or ())} is in {zones}" if zones else ""
    if selector.group is not None:
        allowed = _where_groups_are(selector, system)
    return Diagnostic(Code.NO_MATCH, f"{_format(selector)} matches no host", allowed)


def _where_groups_are(selector: Selector, system: System) -> str:
    """Which clients are of the groups: servers have none."""
    groups = ", ".join(names_of(selector.group) or ())
    found = [
        f"{groups} is a group of clients of role {workload.role} in {', '.join(workload.zones)}"
        for workload in system.workloads
        if _allows(selector.group, *workload.groups)
    ]
    return "; ".join(found)


def _format(selector: Selector) -> str:
    given = {key: getattr(selector, key) for key in ("role", "zone", "node", "group")}
    texts = {
        key: value if isinstance(value, str) else f"[{', '.join(value)}]"
        for key, value in given.items()
        if value is not None
    }
    return "{" + ", ".join(f"{key}: {text}" for key, text in texts.items()) + "}"


def _count(pick: int | str, of: int) -> int | None:
    """How many `pick` asks for: a number, or a share rounded up; None where it is neither, or 0."""
    if isinstance(pick, bool):
        return None
    text = str(pick).strip()
    if share := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text):
        percent = float(share.group(1))
        return math.ceil(of * percent / 100 - 1e-9) if 0 < percent <= 100 else None
    return int(text) if re.fullmatch(r"[1-9]\d*", text) else None
