"""`SimRuntime`: a whole system in one process and in virtual time. The same seed gives the same run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from typing import Any

from harness.experiment.model import Load
from harness.faults.primitives import HostIdentity
from harness.runtime.contract import NotReady, Recorded, RunSettings, ServiceFailure, Session, safeguards_of
from harness.sim.determinism import Collector, deterministic, entropy
from harness.sim.host import SimClock, SimHost, World
from harness.sim.journal import SimJournal
from harness.sim.loop import SimLoop
from harness.sim.nodes import SimNode
from harness.sim.primitives import SimPrimitives
from harness.sim.process import Process
from harness.system import Client
from harness.system.streams import stream
from harness.workload.drive import Driver

__all__ = ["NotReady", "SimRuntime", "SimSession"]

START_S = 5.0
"""Run time 0 is so long after all nodes were started, whether they needed it or not."""

END_S = 30.0
"""Virtual seconds that cancelled tasks are given to end after a run."""


class LeftBehind(RuntimeError):
    """Tasks that went on although they were cancelled."""


class SimRuntime:
    """`run` raises what `body` raises; NotReady when the system does not come up, VirtualTimeError when
    nothing could ever happen again, ValueError for safeguards that the system does not have.
    """

    name = "sim"

    def run[T](self, settings: RunSettings, body: Callable[[Session], Awaitable[T]]) -> T:
        safeguards = safeguards_of(settings)
        loop = SimLoop(settings.seed)
        clock = SimClock(loop, START_S)
        journal = SimJournal(settings.system, clock.now)
        loop.set_exception_handler(journal.exception_handler)
        world = World(loop, clock, settings.system, settings.seed, safeguards, journal)
        with closing(loop), deterministic(loop, settings.seed) as collector, journal.logs():
            return loop.run(_run(world, collector, body))


async def _run[T](world: World, collector: Collector, body: Callable[[Session], Awaitable[T]]) -> T:
    session = SimSession(world, collector)
    try:
        await session.start()
        result = await body(session)
    except BaseException as error:
        try:
            await session.end()
        except LeftBehind as left:
            error.add_note(str(left))
        raise
    await session.end()
    return result


class SimSession:
    """A started system (`harness.runtime.contract.Session`)."""

    def __init__(self, world: World, collector: Collector) -> None:
        self._world = world
        self._journal = world.journal
        self._collector = collector
        topology = world.system.topology
        for link in topology.links:
            world.loop.network.add_link(link)
        self._nodes = {node.name: SimNode(world, node, collector) for node in topology.nodes}
        self._primitives = SimPrimitives(world.loop.network, self._nodes, world.seed)
        self._clients = 0

    @property
    def clock(self) -> SimClock:
        return self._world.clock

    @property
    def primitives(self) -> SimPrimitives:
        return self._primitives

    @property
    def records(self) -> Sequence[Recorded]:
        return self._journal.records

    @property
    def failures(self) -> Sequence[ServiceFailure]:
        return self._journal.failures

    def statistics(self) -> Mapping[str, Any]:
        """`unhandled_errors`: what was raised where nobody could handle it, with its count."""
        network = self._world.loop.network
        return {
            "virtual_s": self._world.clock.now(),
            "clients": self._clients,
            "connections": network.connections,
            "requests": self._collector.requests,
            "records": len(self._journal.records),
            "unhandled_errors": dict(sorted(self._journal.background.items())),
            "broken_since_s": dict(sorted(self._journal.broken_since_s.items())),
        }

    async def start(self) -> None:
        """Start all nodes at once, wait until every one listens, and go on to run time 0.

        NotReady names every node that did not come up in time, and why.
        """
        for node in self._nodes.values():
            node.launch()
        outcomes = await asyncio.gather(
            *(node.until_ready(START_S) for node in self._nodes.values()), return_exceptions=True
        )
        reasons = []
        for name, outcome in zip(self._nodes, outcomes, strict=True):
            if isinstance(outcome, NotReady):
                reasons.append(f"{name}: {outcome}")
            elif outcome is not None:
                raise outcome
        if reasons:
            raise NotReady(
                f"system {self._world.system.name}: {len(reasons)} of {len(self._nodes)} nodes did not come "
                "up:\n  " + "\n  ".join(reasons)
            )
        await asyncio.sleep(-self._world.clock.now())

    def driver(self, loads: Mapping[str, Load], *, seed: int, drain_s: float) -> Driver:
        return Driver(self, self._world.system, loads, seed=seed, drain_s=drain_s)

    def client(self, client: Client, role: str) -> AbstractAsyncContextManager[SimHost]:
        """Put a client on the network. The block, and tasks created in it, run as that client's process.

        ValueError when a host of that name is on the network, or the zone is unknown.
        """
        return self._client(client, role)

    @asynccontextmanager
    async def _client(self, client: Client, role: str) -> AsyncIterator[SimHost]:
        world, network = self._world, self._world.loop.network
        zones = world.system.topology.zones
        if client.zone not in zones:
            raise ValueError(f"client {client.name} is in zone '{client.zone}'; there are {', '.join(zones)}")
        machine = network.add_machine(
            HostIdentity(client.name, role, client.zone, client.group), access=client.access
        )
        self._clients += 1
        process = machine.adopt()
        host = SimHost(
            world,
            machine.peer,
            process,
            config=client.params,
            rng=stream(world.seed, "host", client.name),
            disk={},
        )
        process_token = Process.variable.set(process)
        entropy_token = entropy.set(stream(world.seed, "entropy", client.name))
        try:
            yield host
        finally:
            try:
                await host.close()
                # What is queued (a last FIN) leaves before the machine does.
                await asyncio.sleep(0)
                network.flush(world.loop.now_s)
            finally:
                entropy.reset(entropy_token)
                Process.variable.reset(process_token)
                network.remove_machine(machine)

    async def end(self) -> None:
        """Nothing is recorded any more; every process dies. LeftBehind when tasks do not."""
        self._journal.sealed = True
        for node in self._nodes.values():
            await node.end()
        own = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not own]
        for task in sorted(tasks, key=hash):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=END_S)
        left = sorted(task.get_name() for task in tasks if not task.done())
        if left:
            raise LeftBehind(f"{len(left)} tasks go on although they were cancelled: {', '.join(left[:8])}")
