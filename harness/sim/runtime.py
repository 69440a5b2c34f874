"""`SimRuntime`: a whole system in one process and in virtual time. The same seed gives the same run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, closing
from functools import partial
from typing import Any, Self

from harness.experiment.load import Load
from harness.faults.primitives import HostIdentity
from harness.runtime.contract import (
    LeftBehind,
    NotReady,
    Recorded,
    RunSettings,
    ServiceFailure,
    Session,
    check_ready,
    check_zone,
    safeguards_of,
)
from harness.runtime.journal import Journal, captured_logs, report_context
from harness.sim.determinism import Collector, determinism_patches
from harness.sim.host import SimClock, SimContext, SimHost
from harness.sim.loop import SimLoop
from harness.sim.nodes import SimNode
from harness.sim.options import SimOptions
from harness.sim.order import make_order
from harness.sim.primitives import SimPrimitives
from harness.sim.process import Process
from harness.sim.virtual_functions import entropy
from harness.sim.watch import watched
from harness.system import Client
from harness.system.streams import stream
from harness.text import describe_error
from harness.workload.driver import Driver


class SimJournal(Journal):
    """It attributes an unhandled error to the host whose process raised it."""

    def exception_handler(self, _loop: Any, context: Mapping[str, Any]) -> None:
        """For `loop.set_exception_handler`."""
        task = context.get("task") or context.get("future")
        get_context = getattr(task, "get_context", None)
        process = get_context().get(Process.variable) if get_context else Process.current()
        report_context(partial(self.unhandled, _host_of(process)), context)

    def captured_logs(self) -> AbstractContextManager[None]:
        """Keep what asyncio and aiohttp log as warnings or errors; it is not printed."""
        return captured_logs(
            lambda message, error: self.unhandled(_host_of(Process.current()), message, error)
        )


def _host_of(process: Process | None) -> str:
    return "the harness" if process is None else process.machine.identity.name


START_S = 5.0
"""The time from the start of the nodes to run time 0. It does not depend on how soon they listen."""

END_S = 30.0
"""How long cancelled tasks may take to end after a run, in virtual time."""


class SimRuntime:
    """`run` raises what `body` raises; NotReady when the system does not come up, VirtualTimeError when nothing can
    happen any more, InvalidValue for safeguards that the system does not have.
    """

    name = "sim"

    def __init__(self, options: SimOptions | None = None) -> None:
        self.options = options or SimOptions()

    def run[T](self, settings: RunSettings, body: Callable[[Session], Awaitable[T]]) -> T:
        safeguards = safeguards_of(settings)
        loop = SimLoop(settings.seed, make_order(settings.order))
        clock = SimClock(loop, START_S)
        journal = SimJournal(clock.now)
        loop.set_exception_handler(journal.exception_handler)
        loop.seal = lambda: setattr(journal, "sealed", True)
        loop.report_misuse = lambda error: journal.misuse(_host_of(Process.current()), error)
        context = SimContext(loop, clock, settings.system, settings.seed, safeguards, journal)
        with (
            closing(loop),
            watched(loop),
            determinism_patches(loop, settings.seed) as collector,
            journal.captured_logs(),
        ):
            return loop.run(_run(context, collector, body))


async def _run[T](context: SimContext, collector: Collector, body: Callable[[Session], Awaitable[T]]) -> T:
    async with SimSession(context, collector) as session:
        return await body(session)


class SimSession:
    """A started system (`harness.runtime.contract.Session`), for the time of an `async with`."""

    def __init__(self, context: SimContext, collector: Collector) -> None:
        self._context = context
        self._journal = context.journal
        self._collector = collector
        self.clock = context.clock
        self.failures: Sequence[ServiceFailure] = context.journal.failures
        topology = context.system.topology
        for link in topology.links:
            context.loop.network.add_link(link)
        if programs := [node.name for node in topology.nodes if node.service is None]:
            raise NotReady(f"no service stands in for {', '.join(programs)} in virtual time")
        self._nodes = {node.name: SimNode(context, node, collector) for node in topology.nodes}
        self.primitives = SimPrimitives(context.loop.network, self._nodes, context.seed, context.clock.now)
        self._clients = 0

    @property
    def records(self) -> Sequence[Recorded]:
        """Those of the journal, and of the processors for all seconds that are over."""
        for node in self._nodes.values():
            node.processor.flush()
        return self._journal.records

    def listen(self, listener: Callable[[Recorded], None]) -> None:
        self._journal.listeners.append(listener)

    async def settle(self) -> None:
        for node in self._nodes.values():
            if node.machine.process is not None:
                self._report_dead_tasks(node.node.name, node.machine.process)

    def _report_dead_tasks(self, host: str, process: Process) -> None:
        """Report tasks that raised, if nobody has looked at it. (asyncio does so when the last reference is gone.)"""
        for task in sorted(process.spawned, key=hash):
            if task.done() and not task.cancelled() and getattr(task, "_log_traceback", False):
                error = task.exception()
                what = f"Task exception was never retrieved: {describe_error(error)}" if error else ""
                self._journal.unhandled(host, what, error)

    @property
    def consulted_s(self) -> Mapping[str, float]:
        return self._journal.consulted_s

    def statistics(self) -> Mapping[str, Any]:
        """Figures of the journal, and of the network and the services."""
        network = self._context.loop.network
        return {
            "virtual_s": self._context.clock.now(),
            "clients": self._clients,
            "connections": network.connections,
            "paths": sorted(network.role_paths),
            "requests": self._collector.requests,
            **self._journal.statistics(),
        }

    async def __aenter__(self) -> Self:
        """Start all nodes at once, wait until every one listens, and go on to run time 0.

        NotReady names every node that did not come up in time, and why.
        """
        try:
            await self._start()
        except BaseException as error:
            await self._end_after(error)
            raise
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Record nothing any more, and kill every process. LeftBehind when tasks do not end."""
        if error is None:
            await self._end()
        else:
            await self._end_after(error)

    async def _start(self) -> None:
        for node in self._nodes.values():
            node.launch()
        outcomes = await asyncio.gather(
            *(node.until_ready(START_S) for node in self._nodes.values()), return_exceptions=True
        )
        check_ready(self._context.system.name, dict(zip(self._nodes, outcomes, strict=True)))
        await asyncio.sleep(-self._context.clock.now())

    async def _end_after(self, error: BaseException) -> None:
        """The first error counts; what is left behind becomes a note of it."""
        try:
            await self._end()
        except LeftBehind as left:
            error.add_note(str(left))

    async def _end(self) -> None:
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

    def driver(self, loads: Mapping[str, Load], *, seed: int, drain_s: float) -> Driver:
        return Driver(self, self._context.system, loads, seed=seed, drain_s=drain_s)

    @asynccontextmanager
    async def client(self, client: Client, role: str) -> AsyncIterator[SimHost]:
        """Put a client on the network. The block, and tasks created in it, run as that client's process.

        InvalidValue when a host of that name is on the network, or the zone is unknown.
        """
        context, network = self._context, self._context.loop.network
        check_zone(client.name, client.zone, context.system.topology)
        machine = network.add_machine(
            HostIdentity(client.name, role, client.zone, client.group), access=client.access
        )
        self._clients += 1
        process = machine.adopt()
        host = SimHost(
            context,
            process,
            config=client.params,
            rng=stream(context.seed, "host", client.name),
            disk={},
        )
        process_token = Process.variable.set(process)
        entropy_token = entropy.set(stream(context.seed, "entropy", client.name))
        try:
            yield host
        finally:
            try:
                await host.close()
                # What is queued (a last FIN) leaves before the machine does.
                await asyncio.sleep(0)
                network.flush(context.loop.now_s)
            finally:
                self._report_dead_tasks(client.name, process)
                entropy.reset(entropy_token)
                Process.variable.reset(process_token)
                network.remove_machine(machine)
