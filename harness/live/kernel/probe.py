"""Whether this machine can have a kernel network, found out by making one (`harness.live.kernel.trial`)."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from harness.errors import HarnessError

PROBE_S = 20.0

CAP_NET_ADMIN, CAP_SYS_ADMIN = 12, 21
"""From <linux/capability.h>."""

DEPENDENCIES = "make live-deps"


class _Missing(HarnessError):
    """Something that the kernel network needs is not there."""


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that the kernel network needs. `detail`: what was found, or what to do about it."""

    name: str
    ok: bool
    detail: str


def probe() -> tuple[Found, ...]:
    """Check everything, the kernel in a process of its own. Takes half a second."""
    requirements = [_checked(name, check) for name, check in _REQUIREMENTS]
    if not all(found.ok for found in requirements):
        return tuple(requirements)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "harness.live.kernel.trial"],
            capture_output=True,
            text=True,
            timeout=PROBE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return (*requirements, Found("kernel", False, f"not done within {PROBE_S:g} s"))
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        return (*requirements, Found("kernel", False, reason[0]))
    return (*requirements, *(Found(**item) for item in json.loads(done.stdout)))


def missing() -> tuple[str, ...]:
    """What the kernel network lacks on this machine; nothing when it can be had."""
    return tuple(f"{found.name}: {found.detail}" for found in probe() if not found.ok)


def _checked(name: str, check: Callable[[], str]) -> Found:
    try:
        return Found(name, True, check())
    except (OSError, HarnessError) as error:
        return Found(name, False, str(error))


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
