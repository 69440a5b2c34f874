"""`... harness.live.kernel.agent FD`: the process that holds the kernel network of a run.

It runs in R and holds a descriptor of every other namespace. It serves the requests of the harness at the other end of
the socket `FD`, one after the other. When that end is closed, by the harness or by its death, the agent ends every
connection that is left and exits. Nothing holds the namespaces then, and the kernel removes them with all devices,
rules and queues.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
from contextlib import suppress
from time import monotonic, sleep  # noqa: TID251 (real processes take real time to die)

from harness.live import sock_diag
from harness.live.kernel import ruleset
from harness.live.kernel.devices import (
    Limiters,
    apply_router_settings,
    configure,
    open_netlink,
    wait_until_active,
)
from harness.live.kernel.layout import ROUTER, NamespacePlan
from harness.live.kernel.namespaces import inode, inside, new
from harness.live.kernel.nft import Nft
from harness.live.kernel.requests import CODEC, Build, Built, Change, Counted, Lost, Refused, Within
from harness.live.processes import inhabitants
from harness.runtime.messages import SocketChannel

END_S = 2.0
"""How long the run's other processes may take to die."""


class Agent:
    """The router R and all namespaces. The calling thread must be in the namespace of R."""

    def __init__(self) -> None:
        apply_router_settings()
        self._netlink = open_netlink()
        self._netlink.link("set", index=1, state="up")
        self._netlink.addr("add", index=1, address=ROUTER, prefixlen=32)
        self._limiters = Limiters(self._netlink)
        self._namespaces: dict[str, int] = {}
        self._nft = Nft()
        self._nft.run(ruleset.BASE)

    def answer(self, request: object) -> object:
        match request:
            case Build(plans):
                return self._build(plans)
            case Change():
                return self._change(request)
            case Within(namespace, text):
                with inside(self._namespaces[namespace]):
                    rules = Nft()
                rules.run(text)
                rules.close()
                return Counted()
        raise TypeError(f"not a request: {request!r}")

    def inhabited(self) -> bool:
        """Whether a process is in any namespace but R."""
        return bool(inhabitants({inode(namespace) for namespace in self._namespaces.values()}))

    def destroy_sockets(self) -> int:
        """End every connection in every namespace; returns how many there were.

        Without this, a connection whose process is dead would keep its namespace for minutes.
        """
        destroyed = 0
        for namespace in self._namespaces.values():
            with inside(namespace):
                # Sockets in TIME_WAIT hold no namespace.
                found = sock_diag.sockets(sock_diag.STATES - {sock_diag.TIME_WAIT})
                sock_diag.destroy(map(sock_diag.identity, found))
            destroyed += len(found)
        return destroyed

    def _build(self, plans: tuple[NamespacePlan, ...]) -> Built:
        for plan in plans:
            self._add_namespace(plan)
        wait_until_active(self._netlink)
        for namespace in self._namespaces.values():
            with inside(namespace), open_netlink() as netlink:
                wait_until_active(netlink)
        return Built(
            {name: f"/proc/{os.getpid()}/fd/{fd}" for name, fd in self._namespaces.items()},
            {name: inode(fd) for name, fd in self._namespaces.items()},
        )

    def _add_namespace(self, plan: NamespacePlan) -> None:
        namespace = self._namespaces[plan.name] = new()
        self._netlink.link(
            "add", ifname=plan.device, kind="veth", peer={"ifname": "eth0", "net_ns_fd": namespace}
        )
        (device,) = self._netlink.link_lookup(ifname=plan.device)
        self._netlink.link("set", index=device, state="up")
        for address in plan.addresses:
            self._netlink.route("add", dst=f"{address}/32", oif=device, scope="link")
        with inside(namespace):
            configure(plan)

    def _change(self, change: Change) -> Counted:
        for limiter in change.limiters:
            self._limiters.add(limiter)
            self._nft.run(ruleset.add_limiter(limiter))
        for limit in change.limits:
            self._limiters.add_queue(limit)
        lost = {number: _lost(self._nft, number) for number in change.count}
        if change.nft:
            self._nft.run(change.nft)
        for limiter, minor in change.unlimits:
            self._limiters.remove_queue(limiter, minor)
        return Counted(lost)


def _lost(nft: Nft, number: int) -> Lost:
    name = f"f{number}"
    (counter,) = nft.list("counter", ruleset.TABLE, name)
    data, syn = set[str](), set[str]()
    for direction in (ruleset.UP, ruleset.DOWN):
        for what, into in (("data", data), ("syn", syn)):
            for each in nft.list("set", ruleset.TABLE, f"{name}{direction}{what}"):
                into |= {json.dumps(element) for element in each.get("elem", ())}
    return Lost(counter["packets"], counter["bytes"], len(data), len(syn), len(data | syn))


def main(fd: int) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.unshare(os.CLONE_NEWNET)
    channel = SocketChannel(CODEC, socket.socket(fileno=fd))
    agent: Agent | None = None
    while (request := channel.receive()) is not None:
        try:
            agent = agent or Agent()
            answer = agent.answer(request)
        except Exception as error:
            logging.exception("%s", request)
            answer = Refused(f"{type(error).__name__}: {error}")
        with suppress(BrokenPipeError):
            channel.send(answer)
    if agent is not None:
        _end(agent)
    return 0


def _end(agent: Agent) -> None:
    """End every connection. The run's other processes are dying now, and leave connections until the last is dead."""
    deadline = monotonic() + END_S
    while (agent.inhabited() or agent.destroy_sockets()) and monotonic() < deadline:
        sleep(0.01)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
