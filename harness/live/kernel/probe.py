"""Whether this machine can have a kernel network, found out by trying: in namespaces that are gone right after.

`python -m harness.live.kernel.probe` does it and prints what it found as JSON.
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

PROBE_S = 20.0
CONNECT_S = 5.0
"""Room for retransmissions on a busy machine."""

SILENT_S = 0.15

CAP_NET_ADMIN, CAP_SYS_ADMIN = 12, 21
"""From <linux/capability.h>."""

DEPENDENCIES = "make live-deps"


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that the kernel network needs: whether it is there, and what was found or is to be done."""

    name: str
    ok: bool
    said: str


def probe() -> tuple[Found, ...]:
    """Try everything, in a process of its own; half a second."""
    ready = [_looked(name, look) for name, look in _BEFORE]
    if not all(found.ok for found in ready):
        return tuple(ready)
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__], capture_output=True, text=True, timeout=PROBE_S, check=False
        )
    except subprocess.TimeoutExpired:
        return (*ready, Found("kernel", False, f"the kernel did not do it within {PROBE_S:g} s"))
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        return (*ready, Found("kernel", False, why[0]))
    return (*ready, *(Found(**item) for item in json.loads(done.stdout)))


def missing() -> tuple[str, ...]:
    """What is not there; nothing when there can be a kernel network."""
    return tuple(f"{found.name}: {found.said}" for found in probe() if not found.ok)


def _looked(name: str, look: Callable[[], str]) -> Found:
    try:
        return Found(name, True, look())
    except (OSError, RuntimeError) as error:
        return Found(name, False, str(error))


# ---------------------------------------------------------------------- before anything is tried


def _privileges() -> str:
    if not sys.platform.startswith("linux"):
        raise RuntimeError(f"{sys.platform}; namespaces need Linux")
    with open("/proc/self/status", encoding="ascii") as file:
        (line,) = (line for line in file if line.startswith("CapEff:"))
    has = int(line.split()[1], 16)
    if not (has >> CAP_NET_ADMIN & 1 and has >> CAP_SYS_ADMIN & 1):
        raise RuntimeError(f"needs root (CAP_NET_ADMIN and CAP_SYS_ADMIN); this is user {os.getuid()}")
    return "CAP_NET_ADMIN and CAP_SYS_ADMIN"


def _nft() -> str:
    from harness.live.kernel.nft import LIBRARY, library

    try:
        library()
    except OSError as error:
        raise RuntimeError(f"{LIBRARY} not found; install nftables: {DEPENDENCIES}") from error
    return f"{LIBRARY}, of nftables"


def _pyroute2() -> str:
    if importlib.util.find_spec("pyroute2") is None:
        raise RuntimeError("not installed; install the extra 'netns': make setup, or pip install '.[netns]'")
    return "namespaces, devices and queues over netlink"


_BEFORE: tuple[tuple[str, Callable[[], str]], ...] = (
    ("privileges", _privileges),
    ("nft", _nft),
    ("pyroute2", _pyroute2),
)


# ---------------------------------------------------------------------- in a process of its own


class _Trial:
    """A small network like that of a run, made step by step: the same code, the same rules."""

    def __init__(self) -> None:
        from harness.live.kernel import layout

        self._layout = layout
        self._lines = layout.lines({})

    def namespaces(self) -> str:
        from harness.live.kernel.agent import Agent
        from harness.live.kernel.namespaces import own
        from harness.live.kernel.requests import Build, Built

        os.unshare(os.CLONE_NEWNET)
        self._router = own()
        self._agent = Agent()
        built = self._agent.answer(Build(self._lines))
        assert isinstance(built, Built)
        self._built = built
        return "namespaces without names, joined by veth, routed; nft takes the rules"

    def _socket(self, line: str) -> socket.socket:
        from harness.live.kernel.namespaces import enter

        enter(self._built.paths[line])
        sock = socket.socket()
        enter(self._router)
        return sock

    def _connect(self, port: int, within_s: float) -> bool:
        with self._socket(self._layout.CLIENTS_LINE) as client:
            client.settimeout(within_s)
            try:
                client.connect((self._layout.PROXIES, port))
            except TimeoutError:
                return False
            return True

    def packets(self) -> str:
        """A connect that comes through, one that is dropped and counted, and one that comes through again."""
        from harness.live.kernel import ruleset
        from harness.live.kernel.requests import Change, Counted

        drop, part = ruleset.Drop(1, 1.0), ruleset.Drop(2, 0.5)
        with self._socket(self._layout.HUB) as server:
            server.bind((self._layout.PROXIES, 0))
            server.listen()
            port = server.getsockname()[1]
            if not self._connect(port, CONNECT_S):
                raise RuntimeError("a connect through the router got no answer")
            made = ruleset.drop_made(drop) + ruleset.drop_made(part)
            on = ruleset.drop_ports(drop, ruleset.UP, [port]) + ruleset.drops_in_force([drop, part])
            self._agent.answer(Change(made + on))
            if self._connect(port, SILENT_S):
                raise RuntimeError("a connect came through although its packets were to be dropped")
            counted = self._agent.answer(Change(ruleset.drops_in_force([]), count=(1,)))
            assert isinstance(counted, Counted)
            if not counted.lost[1].packets or counted.lost[1].connects != 1:
                raise RuntimeError(f"the kernel did not count what it dropped: {counted.lost[1]}")
            if not self._connect(port, CONNECT_S):
                raise RuntimeError("a connect got no answer after the drop was undone")
        return "nft drops all or a random share of a connection's packets, and counts them"

    def queues(self) -> str:
        from harness.live.kernel import ruleset
        from harness.live.kernel.requests import Change, Limit

        put = ruleset.queue_ports(0, ruleset.UP, {9: 0x10})
        self._agent.answer(Change(put, limiters=(0,), limits=(Limit(0, 0x10, 1e6),)))
        off = ruleset.queue_ports(0, ruleset.UP, {9: 0x10}, add=False)
        self._agent.answer(Change(off, unlimits=((0, 0x10),)))
        return "htb queues with rates, for pairs of hosts and shared"

    def power(self) -> str:
        from harness.live.kernel import ruleset
        from harness.live.kernel.requests import Within

        for text in (ruleset.POWERLESS, ruleset.POWERED):
            self._agent.answer(Within(self._layout.HUB, text))
        return "nft resets the sockets of a machine without power"


def main() -> int:
    trial = _Trial()
    found = []
    for step in (trial.namespaces, trial.packets, trial.queues, trial.power):
        try:
            found.append(Found(step.__name__, True, step()))
        except Exception as error:
            found.append(Found(step.__name__, False, f"{type(error).__name__}: {error}"))
            break  # the next one stands on it
    print(json.dumps([asdict(item) for item in found]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
