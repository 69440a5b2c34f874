"""What this machine can do in live runs, found out by trying."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.live.kernel.probe import probe
from harness.live.ledger import FIRST, LAST, NoSlot, hold_slot, own_directory, slots, state_directory
from harness.live.limits import open_files
from harness.live.supervisor import ProxyServer
from harness.live.toxiproxy import ToxiproxyApi


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that live runs need: whether it is there, and what was found or is to be done."""

    name: str
    ok: bool
    said: str


def examine() -> tuple[Finding, ...]:
    """Try everything; about a second."""
    findings = list(_platform())
    if all(finding.ok for finding in findings):
        findings += [_tried(name, look) for name, look in _LOOKS]
    return tuple(findings)


def examine_kernel() -> tuple[Finding, ...]:
    """What the kernel network needs beyond that; less than a second."""
    return tuple(Finding(found.name, found.ok, found.said) for found in probe())


def _platform() -> Iterator[Finding]:
    linux = sys.platform.startswith("linux")
    yield Finding("platform", linux, sys.platform if linux else f"{sys.platform}; live runs need Linux")
    yield Finding("cores", True, f"{os.cpu_count()}; every node and the load share them")
    yield Finding("load", True, _load())


def _load() -> str:
    """Who can bring clients; without Locust the asyncio driver does."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"asyncio, or Locust {version('locust')} (--load locust)"
    except PackageNotFoundError:
        return "asyncio; no Locust (the extra 'load'), so --load locust is refused"


def _tried(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, look())
    except (OSError, RuntimeError) as error:
        return Finding(name, False, f"{type(error).__name__}: {error}")


def _loopback() -> str:
    """Every node has an address of its own, and a silent listener joins it when its power is cut."""
    address = f"127.{FIRST}.0.1"
    with socket.socket() as first, socket.socket() as second:
        for sock in (first, second):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        first.bind((address, 0))
        second.bind(first.getsockname())
    return f"addresses 127.{FIRST}.0.0 to 127.{LAST}.255.255, shared ports"


def _files() -> str:
    with open_files() as most:
        return f"{most} open files at most"


def _slots() -> str:
    state = own_directory(state_directory())
    held = sum(not free for _, free in slots(state))
    if held > LAST - FIRST:
        raise NoSlot("every slot is held by a live run")
    return f"{state}; {held} live runs now"


def _proxies() -> str:
    """Start the proxy server, ask it, and end it: nothing may be left."""

    async def ask() -> str:
        server = ProxyServer(lease, 0)
        try:
            api = ToxiproxyApi(await server.start())
            try:
                await api.traffic()
            finally:
                await api.close()
        finally:
            await server.end()
        return "the embedded proxy server starts, answers, ends and leaves nothing"

    with hold_slot() as lease:
        return asyncio.run(ask())


_LOOKS: tuple[tuple[str, Callable[[], str]], ...] = (
    ("loopback", _loopback),
    ("files", _files),
    ("state", _slots),
    ("proxies", _proxies),
)
