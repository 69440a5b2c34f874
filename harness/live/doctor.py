"""What this machine can do in live runs, by trying."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Iterator

from harness.live.kernel.probe import Finding, check
from harness.live.networks import proxy_server
from harness.live.run_lock import FIRST, LAST, LiveUnavailable, state_directory, used_runs
from harness.live.runtime import open_files
from harness.live.toxiproxy import ToxiproxyApi
from harness.live.workspace import open_workspace


def examine() -> tuple[Finding, ...]:
    """Try everything; about a second."""
    findings = list(_platform())
    if all(finding.ok for finding in findings):
        findings += [check(name, look) for name, look in _CHECKS]
    return tuple(findings)


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
        async with proxy_server(workspace, 0) as url, ToxiproxyApi(url) as api:
            await api.traffic()

    with open_workspace() as workspace:
        asyncio.run(ask())
    return "the embedded proxy server starts, answers, ends and leaves nothing"


_CHECKS: tuple[tuple[str, Callable[[], str]], ...] = (
    ("loopback", _loopback),
    ("files", _files),
    ("state", _runs),
    ("proxies", _proxies),
)
