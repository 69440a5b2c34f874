"""A system whose service blocks the loop: for ever in a thread, or in a loop that never waits."""

from __future__ import annotations

import asyncio
import dataclasses
import threading

from harness.system import Host, Node
from tests.support.toy_system import system as toy

FOREVER = threading.Lock()
"""Made when the module is imported, so that it is a real one: nothing in virtual time sees who waits for it."""
FOREVER.acquire()


def waits_for_a_thread() -> None:
    print("it blocks", flush=True)
    FOREVER.acquire()


async def awaits_a_thread(_: Host) -> None:
    await asyncio.to_thread(waits_for_a_thread)


async def never_waits(_: Host) -> None:
    while True:
        pass


async def swallows(_: Host) -> None:
    while True:
        try:
            FOREVER.acquire()
        except KeyboardInterrupt:
            continue


def _with(service: object) -> object:
    node = Node("blocker-1", "blocker", toy.topology.zones[0], service)  # type: ignore[arg-type]
    topology = dataclasses.replace(toy.topology, nodes=(*toy.topology.nodes, node))
    return dataclasses.replace(toy, topology=topology)


threaded = _with(awaits_a_thread)
spinning = _with(never_waits)
stubborn = _with(swallows)
