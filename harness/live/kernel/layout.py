"""Addresses and names within the kernel network of a run. Every run has the same: no other can see them.

198.18.0.0/15 is set aside for tests of networks (RFC 2544, RFC 6890): no real host has such an address.
"""

from __future__ import annotations

from dataclasses import dataclass

ROUTER = "198.18.0.1"
"""R: the next hop of everybody."""

PROXIES = "198.18.0.2"
"""H: where proxies listen. Packets to and from it are those between whoever opens a connection and the proxy."""

PROXIES_OUT = "198.18.0.3"
"""H: where the proxies' own connections to the nodes come from."""

CLIENTS = "198.19.0.1"
"""C: all clients; they are told apart by their proxies' ports."""

LIMITER_HOP = "198.18.0.4"
"""The far end of every limiter, for the routes into it; nobody has it."""

HUB, CLIENTS_LINE = "hub", "clients"


@dataclass(frozen=True, slots=True)
class Line:
    """A namespace to be made and joined to R: its name, its addresses (the first one is what it speaks from), and
    the name of its veth device in R."""

    name: str
    addresses: tuple[str, ...]
    device: str


def node_address(number: int) -> str:
    """Of the `number`-th node, from 1."""
    if not 0 < number < 65_000:
        raise ValueError(f"{number} nodes are more than a live run has addresses for")
    return f"198.18.{1 + (number >> 8)}.{number & 255}"


def lines(nodes: dict[str, str]) -> tuple[Line, ...]:
    """What a run consists of. `nodes`: addresses by name."""
    return (
        Line(HUB, (PROXIES_OUT, PROXIES), HUB),
        Line(CLIENTS_LINE, (CLIENTS,), CLIENTS_LINE),
        *(Line(f"node {name}", (address,), f"n{i}") for i, (name, address) in enumerate(nodes.items(), 1)),
    )
