"""Network devices of the kernel network, and the limiters: devices with queues that have rates."""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from time import monotonic, sleep  # noqa: TID251 (devices take real time to come up)
from typing import Any

from harness.errors import HarnessError
from harness.live.kernel import ruleset
from harness.live.kernel.layout import LIMITER_HOP, ROUTER, NamespacePlan
from harness.live.kernel.requests import Limit

SETTINGS = {
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
}
ROUTER_SETTINGS = {
    **SETTINGS,
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
}
HOST_SETTINGS = {
    **SETTINGS,
    # Every kernel has it, and its rate under loss is known.
    "net/ipv4/tcp_congestion_control": "reno",
    # A connection must not be slower because of losses that an earlier one had: the fault is undone.
    "net/ipv4/tcp_no_metrics_save": "1",
}

ACTIVE_S = 5.0
"""How long devices may take to come up."""

_IFF_UP = 1
"""Of <linux/if.h>."""


class DeviceError(HarnessError):
    """A network device does not come up."""


def open_netlink() -> Any:
    """A netlink socket of this namespace (`pyroute2.IPRoute`), for the caller to close."""
    from pyroute2 import IPRoute

    return IPRoute()


def apply_router_settings() -> None:
    _apply(ROUTER_SETTINGS)


def wait_until_active(netlink: Any) -> None:
    """Wait until every device has left the queue `noop`. DeviceError when that takes too long.

    A device drops packets until the kernel has seen its other end, which may take a second.
    """
    deadline = monotonic() + ACTIVE_S
    while idle := [
        link
        for link in netlink.get_links()
        if link["flags"] & _IFF_UP and link.get_attr("IFLA_QDISC") == "noop"
    ]:
        if monotonic() > deadline:
            names = ", ".join(link.get_attr("IFLA_IFNAME") for link in idle)
            raise DeviceError(f"devices are not up after {ACTIVE_S:g} s: {names}")
        sleep(0.005)


def configure(plan: NamespacePlan) -> None:
    """Configure the inside of a namespace: addresses, routes to R, and packets no larger than those of the wire.

    Connections from H come from `PROXIES_OUT`; `PROXIES` is for listening only.
    """
    _apply(HOST_SETTINGS)
    with open_netlink() as netlink:
        (device,) = netlink.link_lookup(ifname="eth0")
        for index in (1, device):
            netlink.link("set", index=index, state="up")
        for address in plan.addresses:
            netlink.addr("add", index=device, address=address, prefixlen=32)
        source = plan.addresses[0]
        netlink.route("add", dst=f"{ROUTER}/32", oif=device, scope="link", prefsrc=source)
        netlink.route("add", dst="default", gateway=ROUTER, oif=device, prefsrc=source)
    _disable_segmentation_offload("eth0")


_SIOCETHTOOL, _ETHTOOL_STSO = 0x8946, 0x1F
"""From <linux/sockios.h> and <linux/ethtool.h>."""


def _disable_segmentation_offload(device: str) -> None:
    """Have TCP send packets of the size of the wire, so that a lost packet is one packet."""
    value = ctypes.create_string_buffer(struct.pack("II", _ETHTOOL_STSO, 0))
    # struct ifreq: a name of 16 bytes and a pointer, in 40 bytes.
    request = struct.pack("16sP", device.encode(), ctypes.addressof(value)).ljust(40, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCETHTOOL, request)


def _apply(settings: Mapping[str, str]) -> None:
    """Write those that this kernel has."""
    for name, value in settings.items():
        path = Path("/proc/sys") / name
        if path.exists():
            path.write_text(value)


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
