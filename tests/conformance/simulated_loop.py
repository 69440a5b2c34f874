"""A pytest plugin that runs the suites of others in virtual time: every loop has a simulated machine of its own."""

from __future__ import annotations

import asyncio
from typing import Any

from harness.faults.primitives import HostIdentity
from harness.sim.loop import SimLoop
from harness.sim.process import Process


def _new_loop() -> SimLoop:
    loop = SimLoop(seed=1)
    process = loop.network.add_machine(HostIdentity("here", "here", "here")).adopt()
    Process.variable.set(process)
    return loop


class _Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> Any:
        return _new_loop()


def pytest_configure() -> None:
    asyncio.new_event_loop = _new_loop
    asyncio.events.new_event_loop = _new_loop
    asyncio.set_event_loop_policy(_Policy())
