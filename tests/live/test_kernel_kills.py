"""The harness killed with SIGKILL during a run with the kernel network: the kernel takes every namespace down."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.live.cleanup import cleanup, run_remains
from harness.live.kernel.namespaces import inside, new
from harness.live.processes import marked
from harness.live.resources import names
from harness.live.run_lock import STATE_VARIABLE
from tests.live.support import require_kernel

pytestmark = pytest.mark.live

KILLS = int(os.environ.get("HARNESS_KILLS", "2"))

LONGEST_S = 6.0
"""By then, a run that is let alone has applied every fault."""

BEGIN_S = 10.0

GONE_S = 4.0
"""Processes: longer than the one that ends by itself is given."""

DOWN_S = 3.0
"""Namespaces, which the kernel takes down one after the other."""

HARNESS = """
import asyncio
from harness.faults.primitives import EndpointMatch, LinkShape, PathMatch
from harness.runtime.contract import RunSettings
from harness.live.options import LiveOptions
from harness.live.runtime import LiveRuntime
from harness.system import Access, Client
from tests.support.toy_system import shop, system

async def body(session):
    everyone = EndpointMatch(everything=True)
    west = EndpointMatch(nodes=frozenset({"backend-west"}))
    async def visitor(n):
        async with session.client(Client(f"s{n}", "east", "fast", Access(1e8, 1e8, 0.01)), "shopper") as host:
            await shop(host)
    visitors = [asyncio.ensure_future(visitor(n)) for n in range(5)]
    await asyncio.sleep(0.3)
    do = session.primitives
    while True:
        lossy = await do.shape(PathMatch(everyone, everyone), LinkShape(loss=0.05))
        narrow = await do.shape(PathMatch(everyone, everyone), LinkShape(bandwidth_bps=1e6, shared=True))
        cut = await do.cut(PathMatch(everyone, west))
        off = await do.power_off("backend-east")
        await asyncio.sleep(0.2)
        for applied in (off, cut, narrow, lossy):
            await applied.undo()

LiveRuntime(LiveOptions("kernel")).run(RunSettings(system, 1, reference="tests.support.toy_system:system"), body)
"""


class Canaries:
    """One end of a veth pair in a namespace of our own, the other in one of the run: a pair goes with either end.

    So the kernel itself says when a namespace of the run is no more, whatever else might have kept it.
    """

    def __init__(self, own: int) -> None:
        self._own = own

    def put_into(self, namespaces: list[int]) -> None:
        from pyroute2 import IPRoute

        with inside(self._own), IPRoute() as netlink:
            for number, namespace in enumerate(namespaces):
                netlink.link(
                    "add",
                    ifname=f"own{number}",
                    kind="veth",
                    peer={"ifname": f"canary{number}", "net_ns_fd": namespace},
                )

    def alive(self) -> int:
        with inside(self._own):
            return sum("own" in line for line in Path("/proc/thread-self/net/dev").read_text().splitlines())


@contextmanager
def canaries() -> Iterator[Canaries]:
    own = new()
    try:
        yield Canaries(own)
    finally:
        os.close(own)


def opened(directory: Path) -> list[int]:
    """Descriptors of all namespaces of a run: those that its processes are in, or hold."""
    found: dict[int, int] = {}
    here = os.stat("/proc/self/ns/net").st_ino
    for process in marked(directory):
        links = [*Path(f"/proc/{process}/task").glob("*/ns/net"), *Path(f"/proc/{process}/fd").glob("*")]
        for link in links:
            try:
                if not os.readlink(link).startswith("net:["):
                    continue
                namespace = os.open(link, os.O_RDONLY)
            except OSError:
                continue
            inode = os.fstat(namespace).st_ino
            if inode == here or inode in found:
                os.close(namespace)
            else:
                found[inode] = namespace
    return list(found.values())


def until(gone: Callable[[], bool], limit_s: float) -> None:
    deadline_s = time.perf_counter() + limit_s
    while not gone() and time.perf_counter() < deadline_s:
        time.sleep(0.02)  # noqa: TID251 (the kernel takes its time)


@pytest.mark.timeout(120 + 20 * KILLS)
def test_no_namespace_is_left_whenever_the_harness_is_killed(tmp_path: Path) -> None:
    require_kernel()
    rng = random.Random(2)
    for number in range(KILLS):
        after_s = rng.uniform(0.2, LONGEST_S) if number else LONGEST_S
        with canaries() as birds:
            killed_after(after_s, tmp_path, birds)
            until(lambda birds=birds: not birds.alive(), DOWN_S)  # type: ignore[misc]
            assert not birds.alive(), f"kill {number}, after {after_s:.2f} s: {birds.alive()} namespaces"
        done = cleanup(tmp_path)
        assert done.clean
        # The lock is free: another run on this machine may hold it by now.
        assert done.held or not list(tmp_path.glob("run-*/"))


def killed_after(after_s: float, state: Path, birds: Canaries) -> None:
    """Run a harness, put a canary into every namespace that there is so long after it holds a lock, and kill it."""
    with subprocess.Popen(
        [sys.executable, "-c", HARNESS],
        env={**os.environ, STATE_VARIABLE: str(state)},
        stderr=subprocess.PIPE,
    ) as harness:
        try:
            until(lambda: bool(list(state.glob("run-*/"))), BEGIN_S)
            (directory,) = state.glob("run-*/")
            time.sleep(after_s)  # noqa: TID251 (the moment of the kill)
            assert harness.poll() is None, harness.stderr and harness.stderr.read().decode()
            namespaces = opened(directory)
            if after_s == LONGEST_S:
                assert len(namespaces) == 1 + 2 + 4  # the router, proxies, clients, four nodes
            birds.put_into(namespaces)
            for namespace in namespaces:
                os.close(namespace)
            assert birds.alive() == len(namespaces)
        finally:
            harness.kill()
    # The numbers of earlier runs may be taken by runs of other tests meanwhile.
    run = int(directory.name.removeprefix("run-"))
    until(lambda: not names(run_remains(state, run), "process"), GONE_S)
    assert not names(run_remains(state, run), "process"), f"after {after_s:.2f} s: {run_remains(state, run)}"
