"""The shape of a system under test: zones, nodes and the links between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from harness.diagnostics import Code, Diagnostic
from harness.errors import InvalidInput
from harness.system.processor import Costs, check_costs

if TYPE_CHECKING:
    from harness.system.host import Host

type Service = Callable[["Host"], Awaitable[None]]
"""The main coroutine function of a node: runs until cancelled (usually ends in `await host.serve(app)`)."""


@dataclass(frozen=True, slots=True)
class Node:
    """One server process. `name` is also its DNS name; `role` names all nodes of that role.

    `restarts_after_idle`: whether its TCP begins slow start anew after silence, as Linux does unless it is told not to.
    `cores` of its processor: `Host.work` and `costs` queue for them. `costs`: the processor time of a request by route,
    such as `{"GET /home": "8ms", "*": Cost("1ms", p99="9ms")}`; it is charged before the handler runs.

    In live runs a node may be something else than a service, which then stands in for it in virtual time; without a
    service, virtual time refuses the system. `command`: a program, such as `("redis-server", "--port", "{port}")`.
    `external`: the "host:port" of something that runs already; only faults on its links are possible. `{port}` is a
    free port, `{address}` the address of the node (without it, the program listens at 127.0.0.1 or everywhere).
    Whatever port clients ask for, they reach that one. A command without `{port}` listens at the ports that clients
    ask for. `ready` of a command: "tcp", when `{port}` answers; "started", at once.
    """

    name: str
    role: str
    zone: str
    service: Service | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    cores: int = 1
    costs: Costs = field(default_factory=dict)
    restarts_after_idle: bool = True
    command: tuple[str, ...] | list[str] = ()
    ready: Literal["tcp", "started"] = "tcp"
    external: str | None = None

    @property
    def has_one_port(self) -> bool:
        """Whether all ports that clients ask for are one real port, in live runs."""
        return self.external is not None or any("{port}" in word for word in self.command)


@dataclass(frozen=True, slots=True)
class Link:
    """A full-duplex link between two places; each direction carries `bandwidth_bps` of its own.

    `a` and `b` are zone names, or a node name and its zone (that node's own uplink; a node without one
    is attached to its zone at 0.2 ms round trip, unlimited). Paths take the least round-trip time.
    `queue_bytes`: what waits at most in front of it in each direction, while more is offered than leaves; None: 100 ms
    at its rate, at least 32 KiB.
    """

    a: str
    b: str
    rtt_s: float
    bandwidth_bps: float
    jitter_s: float = 0.0
    loss: float = 0.0
    queue_bytes: int | None = None


class InvalidTopology(InvalidInput, ValueError):
    """A topology does not fit together."""


@dataclass(frozen=True, slots=True)
class Topology:
    """Where the nodes are and how they are connected. Raises InvalidTopology for what does not fit together."""

    zones: tuple[str, ...]
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]

    def __post_init__(self) -> None:
        """Raises InvalidTopology with everything that does not fit together."""
        names = [node.name for node in self.nodes]
        places = {*self.zones, *names}
        problems = [
            Diagnostic(Code.DUPLICATE, f"duplicate node name '{name}'")
            for name, count in Counter(names).items()
            if count > 1
        ]
        problems += [
            Diagnostic(
                Code.UNKNOWN_NAME,
                f"node '{node.name}' is in unknown zone '{node.zone}'",
                f"zones: {', '.join(self.zones) or 'none'}",
            )
            for node in self.nodes
            if node.zone not in self.zones
        ]
        for node in self.nodes:
            problems += _check_program(node)
            if node.cores < 1:
                found = f"node '{node.name}' has {node.cores} cores"
                problems.append(Diagnostic(Code.OUT_OF_RANGE, found, "at least 1"))
            problems += [
                replace(problem, found=f"costs of node '{node.name}': {problem.found}")
                for problem in check_costs(node.costs)
            ]
        for link in self.links:
            name = f"link from '{link.a}' to '{link.b}'"
            problems += [
                Diagnostic(Code.UNKNOWN_NAME, f"{name}: '{end}' is neither a zone nor a node")
                for end in (link.a, link.b)
                if end not in places
            ]
            if not link.bandwidth_bps > 0:
                problems.append(Diagnostic(Code.OUT_OF_RANGE, f"{name}: bandwidth must be > 0"))
            if link.queue_bytes is not None and link.queue_bytes < 1:
                problems.append(Diagnostic(Code.OUT_OF_RANGE, f"{name}: queue_bytes must be > 0"))
        if problems:
            raise InvalidTopology(problems)

    def role(self, role: str) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.role == role)

    def node(self, name: str) -> Node:
        """The node of that name; KeyError when there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(node.role for node in self.nodes))


def _check_program(node: Node) -> Iterator[Diagnostic]:
    if node.service is None and not node.command and node.external is None:
        found = f"node '{node.name}' has neither a service nor a command nor an external address"
        yield Diagnostic(Code.EMPTY, found)
    if node.ready not in ("tcp", "started"):
        yield Diagnostic(Code.BAD_VALUE, f"ready '{node.ready}' of node '{node.name}'", "tcp, started")
    if node.command and node.external is not None:
        yield Diagnostic(
            Code.CONFLICT, f"node '{node.name}' has a command and an external address", "one of them"
        )
    if node.external is not None:
        host, _, port = node.external.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            found = f"external address '{node.external}' of node '{node.name}'"
            yield Diagnostic(Code.BAD_VALUE, found, 'a host and a port, such as "127.0.0.1:6379"')
