"""The harness killed with SIGKILL at random moments of a live run: nothing is left. `HARNESS_KILLS` says how often."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.runtimes.live.cleanup import cleanup
from harness.runtimes.live.lease import STATE_VARIABLE, remains

pytestmark = pytest.mark.live

KILLS = int(os.environ.get("HARNESS_KILLS", "2"))

LONGEST_S = 7.0
"""A run that is let alone has begun, loaded the system, started everything and applied four faults by then."""

GONE_S = 2.0

HARNESS = """
import asyncio
from harness.faults.primitives import EndpointMatch, HttpRule, LinkShape, PathMatch
from harness.runtimes.base import RunSettings
from harness.runtimes.live.runtime import LiveRuntime
from harness.system import Access, Client
from tests.support.toy_system import shop, system

async def body(session):
    everything = PathMatch(EndpointMatch(everything=True), EndpointMatch(everything=True))
    async def visitor(n):
        async with session.client(Client(f"s{n}", "east", "fast", Access(1e8, 1e8, 0.01)), "shopper") as host:
            await shop(host)
    visitors = [asyncio.ensure_future(visitor(n)) for n in range(5)]
    await asyncio.sleep(0.3)
    do = session.primitives
    while True:
        shaped = await do.shape(everything, LinkShape(latency_s=0.01))
        paused = await do.pause("gateway-east")
        off = await do.power_off("backend-east")
        killed = await do.kill("backend-west")
        await asyncio.sleep(0.2)
        for applied in (killed, off, paused, shaped):
            await applied.undo()

LiveRuntime().run(RunSettings(system, 1, reference="tests.support.toy_system:system"), body)
"""


@pytest.mark.timeout(120 + 20 * KILLS)
def test_nothing_is_left_whenever_the_harness_is_killed(tmp_path: Path) -> None:
    rng = random.Random(1)
    for number in range(KILLS):
        after_s = rng.uniform(0.2, LONGEST_S)
        with subprocess.Popen(
            [sys.executable, "-c", HARNESS],
            env={**os.environ, STATE_VARIABLE: str(tmp_path)},
            stderr=subprocess.PIPE,
        ) as harness:
            time.sleep(after_s)  # noqa: TID251 (the moment of the kill)
            assert harness.poll() is None, harness.stderr and harness.stderr.read().decode()
            harness.send_signal(signal.SIGKILL)
            # What is left is left by processes that the kernel kills in their turn, one after the other.
            deadline_s = time.perf_counter() + GONE_S
            while (left := _left(tmp_path)) and time.perf_counter() < deadline_s:
                time.sleep(0.02)  # noqa: TID251
            assert not left, f"kill {number}, after {after_s:.2f} s: {left}"
        assert cleanup(tmp_path).clean
        assert not list(tmp_path.glob("slot-*/"))


def _left(state: Path) -> str:
    """Processes and listeners of any slot, in words; files may stay until the next run or `harness cleanup`."""
    found = [remains(state, int(lock.stem.removeprefix("slot-"))) for lock in state.glob("slot-*.lock")]
    return "; ".join(str(one) for one in found if one.processes or one.listeners)
