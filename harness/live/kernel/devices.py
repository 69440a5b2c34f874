"""The devices and kernel settings of one network namespace: that in which the calling thread is."""

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
from harness.live.kernel.layout import ROUTER, NamespacePlan

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
