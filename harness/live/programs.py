"""Programs that are nodes (`Node.command`), and the ports of nodes that have one only, in live runs."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
from collections.abc import Mapping
from contextvars import Context
from functools import partial

from harness.errors import HarnessError
from harness.live.supervised import die_with_parent
from harness.runtime.contract import NotReady
from harness.system import Host, Node, Topology

LOOPBACK = "127.0.0.1"
KERNEL_PORT = 20_000
"""The port of a program in a network namespace of its own."""


class ProgramEnded(HarnessError):
    """The program of a node has ended by itself."""


def ports_of(topology: Topology, addresses: Mapping[str, str], *, kernel: bool) -> dict[str, tuple[str, int]]:
    """Address and port of each node that has one real port only. NotReady for what may not be reached.

    `addresses`: of the nodes. `kernel`: whether they have network namespaces.
    """
    found = {}
    for node in topology.nodes:
        if node.external is not None:
            host, _, port = node.external.rpartition(":")
            if not _is_loopback(host):
                raise NotReady(f"{node.name}: external address {node.external} is not on loopback")
            if kernel:
                raise NotReady(f"{node.name}: an external node needs the network 'proxy'")
            found[node.name] = (host, int(port))
        elif node.has_one_port:
            own = kernel or any("{address}" in word for word in node.command)
            address = addresses[node.name] if own else LOOPBACK
            found[node.name] = (address, KERNEL_PORT if kernel else _free_port(address))
    return found


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _free_port(address: str) -> int:
    with socket.socket() as sock:
        sock.bind((address, 0))
        return int(sock.getsockname()[1])


async def run_program(host: Host, node: Node, address: str, port: int | None) -> None:
    """Run the command of a node until it ends, which is a ProgramEnded; ready when its port answers.

    Its output goes to the log of the node. It is in the process group of the node, and dies with it.
    """
    words = [word.replace("{address}", address).replace("{port}", str(port)) for word in node.command]
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, preexec_fn=partial(die_with_parent, os.getpid())
        )
    except OSError as error:
        raise ProgramEnded(f"cannot start {words[0]}: {error.strerror}") from error
    # Not in this context, in which connections to nodes go through their links.
    ready = asyncio.create_task(_say_ready(host, node, address, port), context=Context())
    try:
        code = await process.wait()
    finally:
        ready.cancel()
    raise ProgramEnded(f"{words[0]} ended with exit code {code}")


async def _say_ready(host: Host, node: Node, address: str, port: int | None) -> None:
    if port is not None and node.ready == "tcp":
        own = any("{address}" in word for word in node.command)
        await _until_answered((address, LOOPBACK) if not own else (address,), port)
    host.ready()


async def _until_answered(addresses: tuple[str, ...], port: int) -> None:
    while True:
        for address in addresses:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(address, port)
                writer.close()
                return
        await asyncio.sleep(0.05)
