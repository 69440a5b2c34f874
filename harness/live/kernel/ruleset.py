"""The rules of R in nft's own language: which packets are dropped, and which queue a packet waits in. Pure text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.live.kernel.layout import PROXIES

TABLE = "ip harness"

MAX_SEEN = 65_535
"""How many connections one rule can count."""

PARTS = 1_000_000
"""A loss is drawn from so many equal parts."""

DROPPED = 1
"""The mark of a packet that a rule drops."""

UP, DOWN = "up", "down"
"""To a proxy, and from it."""

PEERS = {UP: "ip saddr . tcp sport . tcp dport", DOWN: "ip daddr . tcp dport . tcp sport"}
"""What identifies a connection: the address and port of its initiator, and the port of the proxy."""

PORT = {UP: "tcp dport", DOWN: "tcp sport"}

# A packet is forwarded once for every limiter and once more; it is dropped the first time only.
BASE = f"""
table {TABLE} {{
  set isolated {{ type ipv4_addr; }}
  map limiters {{ type ifname : verdict; }}
  chain up {{ }}
  chain down {{ }}
  chain faults {{
    ip saddr @isolated drop
    ip daddr @isolated drop
    ip daddr {PROXIES} goto up
    ip saddr {PROXIES} goto down
  }}
  chain forward {{
    type filter hook forward priority 0; policy accept;
    iifname != "s*" jump faults
    oifname vmap @limiters
  }}
}}
"""

POWER_OFF = """
table ip power_off {
  chain out {
    type filter hook output priority 0; policy drop;
    meta l4proto tcp reject with tcp reset
  }
}
"""
"""For a machine without power: an attempt to send resets the socket."""

POWER_ON = "table ip power_off\ndelete table ip power_off\n"


@dataclass(frozen=True, slots=True)
class Drop:
    """A rule that drops packets of the ports in its sets: `share` of them, 1 for all."""

    number: int
    share: float


def add_drop(drop: Drop) -> str:
    """Sets, counter and chains of a rule. It does nothing until `enforce_drops` names it."""
    name = f"f{drop.number}"
    parts = [f"add counter {TABLE} {name}"]
    for direction in (UP, DOWN):
        parts += [
            f"add set {TABLE} {name}{direction} {{ type inet_service; }}",
            *(
                f"add set {TABLE} {name}{direction}{what} {{ type ipv4_addr . inet_service . inet_service;"
                f" size {MAX_SEEN}; flags dynamic; }}"
                for what in ("data", "syn")
            ),
            f"add chain {TABLE} {name}{direction}",
        ]
        rules = (
            [] if drop.share >= 1 else [f"numgen random mod {PARTS} >= {round(drop.share * PARTS)} return"]
        )
        rules += [
            f"tcp flags & syn == syn add @{name}{direction}syn {{ {PEERS[direction]} }}",
            f"tcp flags & syn != syn add @{name}{direction}data {{ {PEERS[direction]} }}",
            f"meta mark set {DROPPED} counter name {name}",
        ]
        parts += [f"add rule {TABLE} {name}{direction} {rule}" for rule in rules]
    return _lines(parts)


def remove_drop(drop: Drop) -> str:
    name = f"f{drop.number}"
    parts = []
    for direction in (UP, DOWN):
        parts += [f"flush chain {TABLE} {name}{direction}", f"delete chain {TABLE} {name}{direction}"]
        parts += [f"delete set {TABLE} {name}{direction}{what}" for what in ("", "data", "syn")]
    return _lines([*parts, f"delete counter {TABLE} {name}"])


def enforce_drops(drops: Iterable[Drop]) -> str:
    """Enforce exactly these. Each counts what it drops for itself: a packet is dropped after all rules."""
    ordered = sorted(drops, key=lambda drop: drop.number)
    parts = []
    for direction in (UP, DOWN):
        parts.append(f"flush chain {TABLE} {direction}")
        parts += [
            f"add rule {TABLE} {direction} {PORT[direction]} @f{drop.number}{direction} jump f{drop.number}{direction}"
            for drop in ordered
        ]
        parts.append(f"add rule {TABLE} {direction} meta mark {DROPPED} drop")
    return _lines(parts)


def drop_ports(drop: Drop, direction: str, ports: Iterable[int], *, add: bool = True) -> str:
    return _elements(f"f{drop.number}{direction}", map(str, ports), add=add)


def add_limiter(limiter: int) -> str:
    """The maps of a limiter, from the port of a proxy to the queue."""
    name = f"s{limiter}"
    return _lines(
        [
            *(
                f"add map {TABLE} {name}{direction} {{ type inet_service : classid; }}"
                for direction in (UP, DOWN)
            ),
            f"add chain {TABLE} {name}",
            f"add rule {TABLE} {name} ip daddr {PROXIES} meta priority set tcp dport map @{name}{UP}",
            f"add rule {TABLE} {name} ip saddr {PROXIES} meta priority set tcp sport map @{name}{DOWN}",
            f'add element {TABLE} limiters {{ "{limiter_device(limiter)}" : jump {name} }}',
        ]
    )


def limiter_device(limiter: int) -> str:
    return f"s{limiter}a"


def queue_ports(limiter: int, direction: str, queues: Mapping[int, int], *, add: bool = True) -> str:
    """Queue the packets of ports. `queues`: the class by port."""
    items = (f"{port} : 1:{minor:x}" if add else str(port) for port, minor in queues.items())
    return _elements(f"s{limiter}{direction}", items, add=add)


def isolate(address: str, *, add: bool) -> str:
    """Drop every packet to and from an address, or stop doing so."""
    return _elements("isolated", [address], add=add)


def _elements(name: str, items: Iterable[str], *, add: bool) -> str:
    text = ", ".join(items)
    return f"{'add' if add else 'delete'} element {TABLE} {name} {{ {text} }}\n" if text else ""


def _lines(parts: Iterable[str]) -> str:
    return "".join(f"{part}\n" for part in parts)
