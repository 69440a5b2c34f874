"""Addresses and names within the kernel network of a run. Every run has the same: its namespaces are its own.

198.18.0.0/15 is set aside for tests of networks (RFC 2544, RFC 6890): no real host has such an address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.runtime.contract import NotReady

MAX_NODES = 64_999

ROUTER = "198.18.0.1"
"""R: the next hop of every namespace."""

PROXIES = "198.18.0.2"
"""H: where proxies listen. Packets to and from it are those between an initiator and its proxy."""

PROXIES_OUT = "198.18.0.3"
"""H: where the proxies' own connections to the nodes come from."""

CLIENTS = "198.19.0.1"
"""C: all clients. The ports of their proxies distinguish them."""

LIMITER_HOP = "198.18.0.4"
"""The far end of every limiter, for the routes into it. No interface has it."""

HUB, CLIENTS_NAMESPACE = "hub", "clients"


@dataclass(frozen=True, slots=True)
class NamespacePlan:
    """A namespace to make and to join to R by a veth pair.

    `addresses`: the first is the source of its connections. `device`: the name of its veth device in R.
    """

    name: str
    addresses: tuple[str, ...]
    device: str


def node_address(number: int) -> str:
    """The address of the `number`-th node, from 1. NotReady when there are too many."""
    if not 0 < number <= MAX_NODES:
        raise NotReady(f"the kernel network has addresses for {MAX_NODES} nodes; found {number}")
    return f"198.18.{1 + (number >> 8)}.{number & 255}"


def node_namespace(node: str) -> str:
    """The name of a node's namespace."""
    return f"node {node}"


def namespace_plans(nodes: Mapping[str, str]) -> tuple[NamespacePlan, ...]:
    """The namespaces of a run. `nodes`: addresses by name."""
    return (
        NamespacePlan(HUB, (PROXIES_OUT, PROXIES), HUB),
        NamespacePlan(CLIENTS_NAMESPACE, (CLIENTS,), CLIENTS_NAMESPACE),
        *(
            NamespacePlan(node_namespace(name), (address,), f"n{i}")
            for i, (name, address) in enumerate(nodes.items(), 1)
        ),
    )
