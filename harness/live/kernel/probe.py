"""Whether this machine can have a kernel network, found out by making a small one.

`python -m harness.live.kernel.probe` runs the code and the rules of a run, step by step, in namespaces that end with
the process, and prints what works, as JSON.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

from harness.errors import HarnessError
from harness.live.kernel import ruleset
from harness.live.kernel.agent import Agent
from harness.live.kernel.layout import CLIENTS_NAMESPACE, HUB, PROXIES, namespace_plans
from harness.live.kernel.namespaces import enter, own
from harness.live.kernel.requests import Build, Built, Change, Counted, Limit, Within

CONNECT_S = 5.0
"""Room for retransmissions on a busy machine."""

SILENT_S = 0.15


class TrialFailed(HarnessError):
    """The kernel accepts the rules, but they have no effect."""


class Trial:
    """A small network. The calling thread is in the namespace of R afterwards."""

    def __init__(self) -> None:
        os.unshare(os.CLONE_NEWNET)
        self._router = own()
        self._agent = Agent()
        built = self._agent.answer(Build(namespace_plans({})))
        assert isinstance(built, Built)
        self._paths = built.paths

    def packets(self) -> str:
        """A connect that succeeds, one that is dropped and counted, and one that succeeds again."""
        drop, part = ruleset.Drop(1, 1.0), ruleset.Drop(2, 0.5)
        with self._socket(HUB) as server:
            server.bind((PROXIES, 0))
            server.listen()
            port = server.getsockname()[1]
            if not self._connect(port, CONNECT_S):
                raise TrialFailed("a connect through the router got no answer")
            drops = ruleset.add_drop(drop) + ruleset.add_drop(part)
            enforced = ruleset.drop_ports(drop, ruleset.UP, [port]) + ruleset.enforce_drops([drop, part])
            self._agent.answer(Change(drops + enforced))
            if self._connect(port, SILENT_S):
                raise TrialFailed("a connect succeeded although a rule drops its packets")
            counted = self._agent.answer(Change(ruleset.enforce_drops([]), count=(1,)))
            assert isinstance(counted, Counted)
            if not counted.lost[1].packets or counted.lost[1].connects != 1:
                raise TrialFailed(f"the kernel did not count what it dropped: {counted.lost[1]}")
            if not self._connect(port, CONNECT_S):
                raise TrialFailed("a connect got no answer after the drop was undone")
        return "nft drops all or a random share of a connection's packets, and counts them"

    def queues(self) -> str:
        add = ruleset.queue_ports(0, ruleset.UP, {9: 0x10})
        self._agent.answer(Change(add, limiters=(0,), limits=(Limit(0, 0x10, 1e6),)))
        remove = ruleset.queue_ports(0, ruleset.UP, {9: 0x10}, add=False)
        self._agent.answer(Change(remove, unlimits=((0, 0x10),)))
        return "htb queues with rates, for pairs of hosts and shared"

    def power(self) -> str:
        for text in (ruleset.POWER_OFF, ruleset.POWER_ON):
            self._agent.answer(Within(HUB, text))
        return "nft resets the sockets of a machine without power"

    def _socket(self, namespace: str) -> socket.socket:
        enter(self._paths[namespace])
        sock = socket.socket()
        enter(self._router)
        return sock

    def _connect(self, port: int, within_s: float) -> bool:
        with self._socket(CLIENTS_NAMESPACE) as client:
            client.settimeout(within_s)
            try:
                client.connect((PROXIES, port))
            except TimeoutError:
                return False
            return True


def main() -> int:
    found = []
    step = "namespaces"
    try:
        trial = Trial()
        found.append(
            Finding(step, True, "namespaces without names, joined by veth, routed; nft takes the rules")
        )
        for check in (trial.packets, trial.queues, trial.power):
            step = check.__name__
            found.append(Finding(step, True, check()))
    except Exception as error:
        # The further steps need this one.
        found.append(Finding(step, False, f"{type(error).__name__}: {error}"))
    print(json.dumps([asdict(item) for item in found]))
    return 0


PROBE_S = 20.0

CAP_NET_ADMIN, CAP_SYS_ADMIN = 12, 21
"""From <linux/capability.h>."""

DEPENDENCIES = "make live-deps"


class _Missing(HarnessError):
    """Something that the kernel network needs is not there."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that live runs need. `detail`: what was found, or what to do about it."""

    name: str
    ok: bool
    detail: str


def probe() -> tuple[Finding, ...]:
    """Check everything, the kernel in a process of its own. Takes half a second."""
    requirements = [check(name, look) for name, look in _REQUIREMENTS]
    if not all(found.ok for found in requirements):
        return tuple(requirements)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "harness.live.kernel.probe"],
            capture_output=True,
            text=True,
            timeout=PROBE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return (*requirements, Finding("kernel", False, f"not done within {PROBE_S:g} s"))
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        return (*requirements, Finding("kernel", False, reason[0]))
    return (*requirements, *(Finding(**item) for item in json.loads(done.stdout)))


def missing() -> tuple[str, ...]:
    """What the kernel network lacks on this machine; empty when it is available."""
    return tuple(f"{found.name}: {found.detail}" for found in probe() if not found.ok)


def check(name: str, look: Callable[[], str]) -> Finding:
    """What `look` returns, or the reason why it cannot."""
    try:
        return Finding(name, True, look())
    except (OSError, HarnessError) as error:
        return Finding(name, False, str(error))


def _privileges() -> str:
    if not sys.platform.startswith("linux"):
        raise _Missing(f"{sys.platform}; namespaces need Linux")
    with open("/proc/self/status", encoding="ascii") as file:
        (line,) = (line for line in file if line.startswith("CapEff:"))
    capabilities = int(line.split()[1], 16)
    if not (capabilities >> CAP_NET_ADMIN & 1 and capabilities >> CAP_SYS_ADMIN & 1):
        raise _Missing(f"needs root (CAP_NET_ADMIN and CAP_SYS_ADMIN); this is user {os.getuid()}")
    return "CAP_NET_ADMIN and CAP_SYS_ADMIN"


def _nft() -> str:
    from harness.live.kernel.nft import LIBRARY, library

    try:
        library()
    except OSError as error:
        raise _Missing(f"{LIBRARY} not found; install nftables: {DEPENDENCIES}") from error
    return f"{LIBRARY}, of nftables"


def _pyroute2() -> str:
    if importlib.util.find_spec("pyroute2") is None:
        raise _Missing("not installed; install the extra 'netns': make setup, or pip install '.[netns]'")
    return "namespaces, devices and queues over netlink"


_REQUIREMENTS: tuple[tuple[str, Callable[[], str]], ...] = (
    ("privileges", _privileges),
    ("nft", _nft),
    ("pyroute2", _pyroute2),
)


if __name__ == "__main__":
    sys.exit(main())
