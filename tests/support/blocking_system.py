"""A system whose service blocks the loop: for ever in a thread, or in a loop that never waits."""

from __future__ import annotations

import asyncio
import dataclasses
import threading

from harness.system import Host, Node
from tests.support.toy_system import system as toy


async def waits_for_a_thread(_: Host) -> None:
    print("it blocks", flush=True)
    await asyncio.to_thread(threading.Event().wait)


async def never_waits(_: Host) -> None:
    while True:
        pass


async def swallows(_: Host) -> None:
    while True:
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            continue


def _with(service: object) -> object:
    node = Node("blocker-1", "blocker", toy.topology.zones[0], service)  # type: ignore[arg-type]
    topology = dataclasses.replace(toy.topology, nodes=(*toy.topology.nodes, node))
    return dataclasses.replace(toy, topology=topology)


threaded = _with(waits_for_a_thread)
spinning = _with(never_waits)
stubborn = _with(swallows)
