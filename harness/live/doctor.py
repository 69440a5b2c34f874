"""What this machine can do in live runs, by trying."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.errors import HarnessError
from harness.live.kernel.probe import probe
from harness.live.networks import proxy_server
from harness.live.run_lock import FIRST, LAST, LiveUnavailable, state_directory, used_runs
from harness.live.runtime import open_files
from harness.live.toxiproxy import ToxiproxyApi
from harness.live.workspace import open_workspace


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that live runs need. `detail`: what was found, or what to do."""

    name: str
    ok: bool
    detail: str


def examine() -> tuple[Finding, ...]:
    """Try everything; about a second."""
    findings = list(_platform())
    if all(finding.ok for finding in findings):
        findings += [_finding(name, check) for name, check in _CHECKS]
    return tuple(findings)


def examine_kernel() -> tuple[Finding, ...]:
    """What the kernel network needs beyond that; less than a second."""
    return tuple(Finding(found.name, found.ok, found.detail) for found in probe())


def _platform() -> Iterator[Finding]:
    linux = sys.platform.startswith("linux")
    yield Finding("platform", linux, sys.platform if linux else f"{sys.platform}; live runs need Linux")
    yield Finding("cores", True, f"{os.cpu_count()}; all nodes and the load share them")
    yield Finding("load", True, _load())


def _load() -> str:
    """The load drivers that are installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"asyncio, or Locust {version('locust')} (--load locust)"
    except PackageNotFoundError:
        return "asyncio; no Locust (the extra 'load'), so --load locust is refused"


def _finding(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except (OSError, HarnessError) as error:
        return Finding(name, False, f"{type(error).__name__}: {error}")


def _loopback() -> str:
    """Every node has its own address, and a listener that never accepts joins it at power-off."""
    address = f"127.{FIRST}.0.1"
    with socket.socket() as first, socket.socket() as second:
        for sock in (first, second):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        first.bind((address, 0))
        second.bind(first.getsockname())
    return f"addresses 127.{FIRST}.0.0 to 127.{LAST}.255.255, shared ports"


def _files() -> str:
    with open_files() as limit:
        return f"{limit} open files at most"


def _runs() -> str:
    state = state_directory()
    held = sum(not free for _, free in used_runs(state))
    if held > LAST - FIRST:
        raise LiveUnavailable("every run lock is held by a live run")
    return f"{state}; {held} live runs now"


def _proxies() -> str:
    """Start the proxy server, ask it, and end it: nothing may be left."""

    async def ask() -> None:
        async with proxy_server(workspace, 0) as url:
            api = ToxiproxyApi(url)
            try:
                await api.traffic()
            finally:
                await api.close()

    with open_workspace() as workspace:
        asyncio.run(ask())
    return "the embedded proxy server starts, answers, ends and leaves nothing"


_CHECKS: tuple[tuple[str, Callable[[], str]], ...] = (
    ("loopback", _loopback),
    ("files", _files),
    ("state", _runs),
    ("proxies", _proxies),
)
