"""From a selector to hosts: which nodes, clients and paths a fault's target means in this run."""

from __future__ import annotations

import difflib
import math
import random
import re
from collections.abc import Iterable

from harness.experiment.model import Selector, Target
from harness.faults.primitives import ClientMatch, EndpointMatch, PathMatch
from harness.faults.target import ResolvedTarget
from harness.system import Node, System


class TargetError(ValueError):
    """A selector that cannot be resolved; `problems` says each reason: what was found, what is allowed."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


def resolve(
    target: Target, system: System, seed: int, fault_index: int, *, nodes_only: bool = False
) -> ResolvedTarget:
    """What `target` means. What is picked is drawn from the seed and the fault's place in the timeline.

    `nodes_only`, for faults on nodes: clients do not count, and a target that holds no server is refused.
    Raises TargetError with every reason: an unknown role, zone, node or group, a selector that matches
    nothing, a pick of more than there are.
    """
    if target.link is None:
        hosts = _Hosts(target, system, random.Random(f"{seed}:target:{fault_index}"))
        if nodes_only and not hosts.problems:
            hosts.clients = None
            if not hosts.nodes:
                hosts.problems.append(f"{_said(target)} holds clients only; this fault acts on servers")
        _refuse(hosts.problems)
        path = PathMatch(EndpointMatch(everything=True), hosts.match)
        return ResolvedTarget(tuple(node.name for node in hosts.nodes), path, hosts.names)
    problems = [
        f"'{name}' belongs inside the ends of the link, not beside it"
        for name in ("role", "zone", "node", "group", "pick")
        if getattr(target, name) is not None
    ]
    ends = [
        _Hosts(_as_selector(end), system, random.Random(f"{seed}:target:{fault_index}:{side}"))
        for side, end in (("from", target.link.from_), ("to", target.link.to))
    ]
    _refuse([*problems, *ends[0].problems, *ends[1].problems])
    name = " > ".join(", ".join(end.names) for end in ends)
    return ResolvedTarget((), PathMatch(ends[0].match, ends[1].match), (name,))


class _Hosts:
    """One selector, resolved: servers in the order of the topology, and clients by what they are."""

    def __init__(self, selector: Selector, system: System, rng: random.Random) -> None:
        self.problems = list(_unknown_words(selector, system))
        self.nodes: tuple[Node, ...] = ()
        self.clients: ClientMatch | None = None
        if self.problems:
            return
        self.nodes = tuple(node for node in system.topology.nodes if _fits(node, selector))
        self.clients = _clients(selector, system)
        if not self.nodes and self.clients is None:
            self.problems.append(_matches_nothing(selector, system))
        elif selector.pick is not None:
            self._pick(selector.pick, rng)

    def _pick(self, pick: int | str, rng: random.Random) -> None:
        if not self.nodes:
            self.problems.append("'pick' draws among nodes; clients come and go, give them by group or zone")
            return
        count = _count(pick, len(self.nodes))
        if count is None:
            self.problems.append(
                f"found pick: {pick}; it is a number from 1 to {len(self.nodes)} or a share such as 50%"
            )
        elif count > len(self.nodes):
            self.problems.append(
                f"pick: {pick} of {len(self.nodes)} ({', '.join(node.name for node in self.nodes)}); "
                "there are not that many"
            )
        else:
            chosen = sorted(rng.sample(range(len(self.nodes)), count))
            self.nodes = tuple(self.nodes[index] for index in chosen)
            self.clients = None

    @property
    def match(self) -> EndpointMatch:
        return EndpointMatch(frozenset(node.name for node in self.nodes), self.clients)

    @property
    def names(self) -> tuple[str, ...]:
        names = [node.name for node in self.nodes]
        if self.clients is not None:
            group, role, zone = self.clients.group, self.clients.role, self.clients.zone
            kind = " ".join(word for word in (group, role) if word is not None) or "clients"
            names.append(kind if zone is None else f"{kind} in {zone}")
        return tuple(names)


def _as_selector(end: Selector | str) -> Selector:
    return Selector(role=end) if isinstance(end, str) else end


def _fits(node: Node, selector: Selector) -> bool:
    """Servers have no group, so a selector that names one means clients only."""
    return (
        selector.group is None
        and selector.role in (None, node.role)
        and selector.zone in (None, node.zone)
        and selector.node in (None, node.name)
    )


def _clients(selector: Selector, system: System) -> ClientMatch | None:
    """The clients that fit: of a workload's role, of a group, or with only a zone given all in that zone."""
    if selector.node is not None:
        return None
    for workload in system.workloads:
        if (
            selector.role in (None, workload.role)
            and (selector.group is None or selector.group in workload.groups)
            and (selector.zone is None or selector.zone in workload.zones)
        ):
            return ClientMatch(role=selector.role, zone=selector.zone, group=selector.group)
    return None


def _unknown_words(selector: Selector, system: System) -> Iterable[str]:
    topology = system.topology
    known = {
        "role": [*topology.roles, *(workload.role for workload in system.workloads)],
        "zone": [*topology.zones, *(zone for workload in system.workloads for zone in workload.zones)],
        "node": [node.name for node in topology.nodes],
        "group": [group for workload in system.workloads for group in workload.groups],
    }
    given = {name: getattr(selector, name) for name in known if getattr(selector, name) is not None}
    if not given:
        yield "the target says nothing; give at least one of role, zone, node, group"
    for name, value in given.items():
        allowed = list(dict.fromkeys(known[name]))
        if value not in allowed:
            near = difflib.get_close_matches(value, allowed, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            yield f"no {name} '{value}' in system {system.name}; it has {', '.join(allowed) or 'none'}{hint}"


def _matches_nothing(selector: Selector, system: System) -> str:
    same_role = [node for node in system.topology.nodes if node.role == selector.role]
    where = ", ".join(dict.fromkeys(node.zone for node in same_role))
    hint = f"; {selector.role} is in {where}" if where else ""
    return f"{_said(selector)} matches no host{hint}"


def _said(selector: Selector) -> str:
    given = {name: getattr(selector, name) for name in ("role", "zone", "node", "group")}
    return "{" + ", ".join(f"{name}: {value}" for name, value in given.items() if value is not None) + "}"


def _count(pick: int | str, of: int) -> int | None:
    """How many `pick` means: a number, or a share rounded up; None when it is neither, or nobody."""
    if isinstance(pick, bool):
        return None
    text = str(pick).strip()
    if share := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text):
        percent = float(share.group(1))
        return math.ceil(of * percent / 100 - 1e-9) if 0 < percent <= 100 else None
    return int(text) if re.fullmatch(r"[1-9]\d*", text) else None


def _refuse(problems: Iterable[str]) -> None:
    found = tuple(problems)
    if found:
        raise TargetError(found)
