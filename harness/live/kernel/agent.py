"""`... harness.live.kernel.agent FD`: the process that holds the kernel network of a run.

It is in R, holds a descriptor of every other namespace, and does what the harness asks at the other end of the
socket `FD`, one request after the other. When that end is closed, by the harness or by its death, it ends every
connection that is left and goes; then nobody and nothing keeps any namespace, and the kernel takes them down with
all devices, rules and queues.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import logging
import os
import pickle
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep  # noqa: TID251 (real processes take real time to die)
from typing import Any

from harness.live.kernel import ruleset
from harness.live.kernel.abort import abort_connections
from harness.live.kernel.layout import LIMITER_HOP, ROUTER, Line
from harness.live.kernel.namespaces import inode, inside, new
from harness.live.kernel.nft import Nft
from harness.live.kernel.requests import (
    Build,
    Built,
    Change,
    Counted,
    Limit,
    Lost,
    Queue,
    Queued,
    Queues,
    Refused,
    Within,
)
from harness.live.messages import HEADER_BYTES, frame
from harness.live.processes import inhabitants

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
    # The one that every kernel has, whatever this machine's default; and the one whose rate under loss is known.
    "net/ipv4/tcp_congestion_control": "reno",
    # What one connection has met must not make the next one careful: a fault ends when it is taken off.
    "net/ipv4/tcp_no_metrics_save": "1",
}

FRAME_BYTES, PAYLOAD_BYTES = 1514, 1448
"""A full packet on the wire and what it carries (Ethernet, IPv4, TCP with timestamps)."""

QUEUE_S = 0.05
MIN_QUEUE = 32
"""A queue holds as many packets as its rate carries full ones in so long, and so many at least."""

BURST_S = 0.002
MIN_BURST_BYTES = 64
"""What an idle queue lets pass at once, beyond one packet."""

ACTIVE_S = 5.0
"""How long devices may take to come up."""

END_S = 2.0
"""How long the run's other processes may take to die."""

ENTRY_TABLE = 100
"""Routing tables: this one for what comes in, and one more for every limiter that is passed."""


class Agent:
    """R. To be made in its namespace."""

    def __init__(self) -> None:
        for name, value in ROUTER_SETTINGS.items():
            _set(name, value)
        self._netlink = _netlink()
        self._netlink.link("set", index=1, state="up")
        self._netlink.addr("add", index=1, address=ROUTER, prefixlen=32)
        self._netlink.rule("add", table=ENTRY_TABLE, priority=30_000)
        self._limiters: list[int] = []
        self._devices: dict[int, int] = {}
        self._namespaces: dict[str, int] = {}
        self._nft = Nft()
        self._nft.run(ruleset.BASE)

    def answer(self, request: object) -> object:
        match request:
            case Build(lines):
                for line in lines:
                    self._join(line)
                _until_active(self._netlink)
                for namespace in self._namespaces.values():
                    with inside(namespace), _netlink() as there:
                        _until_active(there)
                return Built(
                    {name: f"/proc/{os.getpid()}/fd/{fd}" for name, fd in self._namespaces.items()},
                    {name: inode(fd) for name, fd in self._namespaces.items()},
                )
            case Change():
                return self._change(request)
            case Within(line, text):
                with inside(self._namespaces[line]):
                    there = Nft()
                there.run(text)
                there.close()
                return Counted()
            case Queues():
                return Queued(dict(self._queues()))
        raise ValueError(f"no such request: {request!r}")

    def inhabited(self) -> bool:
        """Whether a process is in any namespace but R."""
        return bool(inhabitants({inode(namespace) for namespace in self._namespaces.values()}))

    def abort(self) -> int:
        """End every connection in every namespace; how many there were."""
        found = 0
        for namespace in self._namespaces.values():
            with inside(namespace):
                found += abort_connections()
        return found

    # ------------------------------------------------------------------ namespaces

    def _join(self, line: Line) -> None:
        namespace = self._namespaces[line.name] = new()
        self._netlink.link(
            "add", ifname=line.device, kind="veth", peer={"ifname": "eth0", "net_ns_fd": namespace}
        )
        device = self._index(line.device)
        self._netlink.link("set", index=device, state="up")
        for address in line.addresses:
            self._netlink.route("add", dst=f"{address}/32", oif=device, scope="link")
        with inside(namespace):
            _equip(line)

    def _index(self, device: str) -> int:
        (found,) = self._netlink.link_lookup(ifname=device)
        return int(found)

    # ------------------------------------------------------------------ limiters

    def _limiter(self, limiter: int) -> None:
        """One more limiter at the end of the row that every packet passes: a veth pair within R, and htb on it.

        What comes in by any other line is routed to the first, what comes out of one to the next, what comes out
        of the last to where it is meant for.
        """
        name, out = ruleset.limiter_device(limiter), f"s{limiter}b"
        self._netlink.link("add", ifname=name, kind="veth", peer=out)
        device, end = self._index(name), self._index(out)
        for each in (device, end):
            self._netlink.link("set", index=each, state="up")
        _until_active(self._netlink)
        hardware = self._netlink.get_links(end)[0].get_attr("IFLA_ADDRESS")
        self._netlink.neigh("add", dst=LIMITER_HOP, lladdr=hardware, ifindex=device, state="permanent")
        self._netlink.tc("add", "htb", device, 0x10000, default=0)
        self._devices[limiter] = device
        self._nft.run(ruleset.add_limiter(limiter))
        before = ENTRY_TABLE if not self._limiters else ENTRY_TABLE + 1 + self._limiters[-1]
        after = ENTRY_TABLE + 1 + limiter
        self._netlink.rule("add", iifname=out, table=after, priority=10)
        self._netlink.rule("add", iifname=out, table=254, priority=11)
        self._netlink.route("add", dst="default", gateway=LIMITER_HOP, oif=device, table=before, flags=_ONLINK)
        self._limiters.append(limiter)

    def _limit(self, limit: Limit) -> None:
        device, wire_Bps = self._devices[limit.limiter], limit.rate_bps / 8 * FRAME_BYTES / PAYLOAD_BYTES
        rate = max(1, round(wire_Bps))
        burst = max(MIN_BURST_BYTES, round(wire_Bps * BURST_S))
        handle = 0x10000 | limit.minor
        self._netlink.tc(
            "add-class",
            "htb",
            device,
            handle,
            parent=0x10000,
            rate=rate,
            ceil=rate,
            burst=burst,
            cburst=burst,
            quantum=FRAME_BYTES,
        )
        room = max(MIN_QUEUE, round(wire_Bps * QUEUE_S / FRAME_BYTES))
        self._netlink.tc("add", "pfifo", device, limit.minor << 16, parent=handle, limit=room)

    def _queues(self) -> Iterator[tuple[tuple[int, int], Queue]]:
        for limiter, device in self._devices.items():
            for message in self._netlink.get_classes(device):
                basic = message.get_attr("TCA_STATS2")
                sent, waited = basic.get_attr("TCA_STATS_BASIC"), basic.get_attr("TCA_STATS_QUEUE")
                yield (
                    (limiter, message["handle"] & 0xFFFF),
                    Queue(sent["bytes"], sent["packets"], waited["drops"], waited["overlimits"]),
                )

    # ------------------------------------------------------------------ rules

    def _change(self, change: Change) -> Counted:
        for limiter in change.limiters:
            self._limiter(limiter)
        for limit in change.limits:
            self._limit(limit)
        lost = {number: _lost(self._nft, number) for number in change.count}
        if change.nft:
            self._nft.run(change.nft)
        for limiter, minor in change.unlimits:
            # The rate means nothing here; pyroute2 cannot make the message without one.
            self._netlink.tc("del-class", "htb", self._devices[limiter], 0x10000 | minor, rate=1000)
        return Counted(lost)


_IFF_UP = 1
"""Of <linux/if.h>."""

_ONLINK = 4
"""RTNH_F_ONLINK of <linux/rtnetlink.h>."""


def _lost(nft: Nft, number: int) -> Lost:
    name = f"f{number}"
    (counter,) = nft.listed("counter", ruleset.TABLE, name)
    data, syn = set[str](), set[str]()
    for way in (ruleset.UP, ruleset.DOWN):
        for what, into in (("data", data), ("syn", syn)):
            for each in nft.listed("set", ruleset.TABLE, f"{name}{way}{what}"):
                into |= {json.dumps(element) for element in each.get("elem", ())}
    return Lost(counter["packets"], counter["bytes"], len(data), len(syn), len(data | syn))


def _netlink() -> Any:
    """Of the namespace in which the calling thread is; to be closed."""
    from pyroute2 import IPRoute

    return IPRoute()


def _until_active(netlink: Any) -> None:
    """A device drops what it is given until the kernel has seen that its other end is there, which may take a second.

    Until then it has the queue `noop`. RuntimeError when that takes too long.
    """
    deadline = monotonic() + ACTIVE_S
    while idle := [
        link
        for link in netlink.get_links()
        if link["flags"] & _IFF_UP and link.get_attr("IFLA_QDISC") == "noop"
    ]:
        if monotonic() > deadline:
            names = ", ".join(link.get_attr("IFLA_IFNAME") for link in idle)
            raise RuntimeError(f"devices that do not come up within {ACTIVE_S:g} s: {names}")
        sleep(0.005)


def _equip(line: Line) -> None:
    """The inside of a line, where the calling thread is: addresses, the way out, no packet larger than the wire's.

    `PROXIES_OUT` is what connections from H come from: `PROXIES` is for listening only.
    """
    for name, value in HOST_SETTINGS.items():
        _set(name, value)
    with _netlink() as netlink:
        (device,) = netlink.link_lookup(ifname="eth0")
        for index in (1, device):
            netlink.link("set", index=index, state="up")
        for address in line.addresses:
            netlink.addr("add", index=device, address=address, prefixlen=32)
        source = line.addresses[0]
        netlink.route("add", dst=f"{ROUTER}/32", oif=device, scope="link", prefsrc=source)
        netlink.route("add", dst="default", gateway=ROUTER, oif=device, prefsrc=source)
    _segmented("eth0")


_SIOCETHTOOL, _ETHTOOL_STSO = 0x8946, 0x1F
"""From <linux/sockios.h> and <linux/ethtool.h>."""


def _segmented(device: str) -> None:
    """Have the kernel cut what TCP sends into packets of the wire before they leave: a lost packet is one packet."""
    value = ctypes.create_string_buffer(struct.pack("II", _ETHTOOL_STSO, 0))
    # struct ifreq: a name of 16 bytes and a pointer, in 40 bytes.
    request = struct.pack("16sP", device.encode(), ctypes.addressof(value)).ljust(40, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCETHTOOL, request)


def _set(name: str, value: str) -> None:
    path = Path("/proc/sys") / name
    if path.exists():
        path.write_text(value)


def main(fd: int) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.unshare(os.CLONE_NEWNET)
    line = socket.socket(fileno=fd)
    agent: Agent | None = None
    while (size := _exactly(line, HEADER_BYTES)) is not None:
        data = _exactly(line, int.from_bytes(size))
        if data is None:
            break
        request = pickle.loads(data)
        try:
            agent = agent or Agent()
            answer = agent.answer(request)
        except Exception as error:
            logging.exception("%s", request)
            answer = Refused(f"{type(error).__name__}: {error}")
        with suppress(BrokenPipeError):
            line.sendall(frame(answer))
    if agent is not None:
        _end(agent)
    return 0


def _end(agent: Agent) -> None:
    """The run's other processes are dying just now, and leave connections until the last is dead."""
    deadline = monotonic() + END_S
    while (agent.inhabited() or agent.abort()) and monotonic() < deadline:
        sleep(0.01)


def _exactly(line: socket.socket, n_bytes: int) -> bytes | None:
    """None when the harness is gone."""
    data = b""
    while len(data) < n_bytes:
        try:
            more = line.recv(n_bytes - len(data))
        except ConnectionResetError:  # it died before it read the last answer
            return None
        if not more:
            return None
        data += more
    return data


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
