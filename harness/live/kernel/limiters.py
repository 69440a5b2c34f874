"""Rates: a row of limiters in R that every packet passes, each a veth pair with htb queues on it (tc-htb(8))."""

from __future__ import annotations

from typing import Any

from harness.live.kernel import ruleset
from harness.live.kernel.devices import wait_until_active
from harness.live.kernel.layout import LIMITER_HOP
from harness.live.kernel.requests import Limit

FRAME_BYTES, PAYLOAD_BYTES = 1514, 1448
"""A full packet on the wire and its payload (Ethernet, IPv4, TCP with timestamps)."""

QUEUE_S = 0.05
MIN_QUEUE = 32
"""A queue holds the full packets that its rate carries in `QUEUE_S`, and this many at least."""

BURST_S = 0.002
MIN_BURST_BYTES = 64
"""What an idle queue lets pass at once, beyond one packet."""

ENTRY_TABLE = 100
"""The routing table of packets that come in. Each limiter has one more, for the packets that come out of it."""

MAIN_TABLE = 254
HTB_ROOT = 0x10000
"""The handle 1: of the htb queue of a device."""

_RTNH_F_ONLINK = 4
"""Of <linux/rtnetlink.h>."""


class Limiters:
    """Packets of any namespace are routed to the first limiter, from each to the next, and from the last to their
    destination. `netlink`: of R."""

    def __init__(self, netlink: Any) -> None:
        self._netlink = netlink
        self._netlink.rule("add", table=ENTRY_TABLE, priority=30_000)
        self._devices: dict[int, int] = {}

    def add(self, limiter: int) -> None:
        """Add a limiter at the end of the row."""
        name, out = ruleset.limiter_device(limiter), f"s{limiter}b"
        self._netlink.link("add", ifname=name, kind="veth", peer=out)
        (device,) = self._netlink.link_lookup(ifname=name)
        (end,) = self._netlink.link_lookup(ifname=out)
        for each in (device, end):
            self._netlink.link("set", index=each, state="up")
        wait_until_active(self._netlink)
        hardware = self._netlink.get_links(end)[0].get_attr("IFLA_ADDRESS")
        self._netlink.neigh("add", dst=LIMITER_HOP, lladdr=hardware, ifindex=device, state="permanent")
        self._netlink.tc("add", "htb", device, HTB_ROOT, default=0)
        before = ENTRY_TABLE + 1 + list(self._devices)[-1] if self._devices else ENTRY_TABLE
        self._netlink.rule("add", iifname=out, table=ENTRY_TABLE + 1 + limiter, priority=10)
        self._netlink.rule("add", iifname=out, table=MAIN_TABLE, priority=11)
        self._netlink.route(
            "add", dst="default", gateway=LIMITER_HOP, oif=device, table=before, flags=_RTNH_F_ONLINK
        )
        self._devices[limiter] = device

    def add_queue(self, limit: Limit) -> None:
        device, wire_Bps = self._devices[limit.limiter], limit.rate_bps / 8 * FRAME_BYTES / PAYLOAD_BYTES
        rate = max(1, round(wire_Bps))
        burst = max(MIN_BURST_BYTES, round(wire_Bps * BURST_S))
        handle = HTB_ROOT | limit.minor
        self._netlink.tc(
            "add-class",
            "htb",
            device,
            handle,
            parent=HTB_ROOT,
            rate=rate,
            ceil=rate,
            burst=burst,
            cburst=burst,
            quantum=FRAME_BYTES,
        )
        packets = max(MIN_QUEUE, round(wire_Bps * QUEUE_S / FRAME_BYTES))
        self._netlink.tc("add", "pfifo", device, limit.minor << 16, parent=handle, limit=packets)

    def remove_queue(self, limiter: int, minor: int) -> None:
        # pyroute2 cannot make the message without a rate, which means nothing here.
        self._netlink.tc("del-class", "htb", self._devices[limiter], HTB_ROOT | minor, rate=1000)
