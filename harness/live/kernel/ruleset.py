"""The rules of R in nft's own language: what is dropped, and which queue a packet goes into. Pure text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.live.kernel.layout import PROXIES

TABLE = "ip harness"

MAX_SEEN = 65_535
"""Connections that one rule tells apart."""

PARTS = 1_000_000
"""Losses are drawn as one of so many."""

DROPPED = 1
"""The mark of a packet that some rule drops."""

UP, DOWN = "up", "down"
"""To a proxy, and from it."""

PEERS = {UP: "ip saddr . tcp sport . tcp dport", DOWN: "ip daddr . tcp dport . tcp sport"}
"""What a connection is told from others by: whoever opened it, and the proxy's port."""

PORT = {UP: "tcp dport", DOWN: "tcp sport"}

# A packet passes here once for every limiter and once more; drops are for the first time only.
BASE = f"""
table {TABLE} {{
  set dark {{ type ipv4_addr; }}
  map limiters {{ type ifname : verdict; }}
  chain up {{ }}
  chain down {{ }}
  chain faults {{
    ip saddr @dark drop
    ip daddr @dark drop
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

POWERLESS = """
table ip powerless {
  chain out {
    type filter hook output priority 0; policy drop;
    meta l4proto tcp reject with tcp reset
  }
}
"""
"""For a machine without power: whatever its dead sockets still want to send ends them."""

POWERED = "table ip powerless\ndelete table ip powerless\n"


@dataclass(frozen=True, slots=True)
class Drop:
    """A rule that drops packets of the ports in its sets: `share` of them, 1 for all."""

    number: int
    share: float


def drop_made(drop: Drop) -> str:
    """Sets, counter and chains of a rule; it does nothing until `drops_in_force` names it."""
    name = f"f{drop.number}"
    parts = [f"add counter {TABLE} {name}"]
    for way in (UP, DOWN):
        parts += [
            f"add set {TABLE} {name}{way} {{ type inet_service; }}",
            *(
                f"add set {TABLE} {name}{way}{what} {{ type ipv4_addr . inet_service . inet_service;"
                f" size {MAX_SEEN}; flags dynamic; }}"
                for what in ("data", "syn")
            ),
            f"add chain {TABLE} {name}{way}",
        ]
        rules = (
            [] if drop.share >= 1 else [f"numgen random mod {PARTS} >= {round(drop.share * PARTS)} return"]
        )
        rules += [
            f"tcp flags & syn == syn add @{name}{way}syn {{ {PEERS[way]} }}",
            f"tcp flags & syn != syn add @{name}{way}data {{ {PEERS[way]} }}",
            f"meta mark set {DROPPED} counter name {name}",
        ]
        parts += [f"add rule {TABLE} {name}{way} {rule}" for rule in rules]
    return _lines(parts)


def drop_gone(drop: Drop) -> str:
    name = f"f{drop.number}"
    parts = []
    for way in (UP, DOWN):
        parts += [f"flush chain {TABLE} {name}{way}", f"delete chain {TABLE} {name}{way}"]
        parts += [f"delete set {TABLE} {name}{way}{what}" for what in ("", "data", "syn")]
    return _lines([*parts, f"delete counter {TABLE} {name}"])


def drops_in_force(drops: Iterable[Drop]) -> str:
    """Exactly these. Each counts what it drops, whatever the others do; a packet is dropped when all have seen it."""
    ordered = sorted(drops, key=lambda drop: drop.number)
    parts = []
    for way in (UP, DOWN):
        parts.append(f"flush chain {TABLE} {way}")
        parts += [
            f"add rule {TABLE} {way} {PORT[way]} @f{drop.number}{way} jump f{drop.number}{way}"
            for drop in ordered
        ]
        parts.append(f"add rule {TABLE} {way} meta mark {DROPPED} drop")
    return _lines(parts)


def drop_ports(drop: Drop, way: str, ports: Iterable[int], *, add: bool = True) -> str:
    return elements(f"f{drop.number}{way}", map(str, ports), add=add)


def add_limiter(limiter: int) -> str:
    """The maps of a limiter: from a proxy's port to the queue."""
    name = f"s{limiter}"
    return _lines(
        [
            *(f"add map {TABLE} {name}{way} {{ type inet_service : classid; }}" for way in (UP, DOWN)),
            f"add chain {TABLE} {name}",
            f"add rule {TABLE} {name} ip daddr {PROXIES} meta priority set tcp dport map @{name}{UP}",
            f"add rule {TABLE} {name} ip saddr {PROXIES} meta priority set tcp sport map @{name}{DOWN}",
            f'add element {TABLE} limiters {{ "{limiter_device(limiter)}" : jump {name} }}',
        ]
    )


def limiter_device(limiter: int) -> str:
    return f"s{limiter}a"


def queue_ports(limiter: int, way: str, queues: Mapping[int, int], *, add: bool = True) -> str:
    """`queues`: class by port."""
    items = (f"{port} : 1:{minor:x}" if add else str(port) for port, minor in queues.items())
    return elements(f"s{limiter}{way}", items, add=add)


def dark(address: str, is_dark: bool) -> str:
    return elements("dark", [address], add=is_dark)


def elements(name: str, items: Iterable[str], *, add: bool) -> str:
    text = ", ".join(items)
    return f"{'add' if add else 'delete'} element {TABLE} {name} {{ {text} }}\n" if text else ""


def _lines(parts: Iterable[str]) -> str:
    return "".join(f"{part}\n" for part in parts)
