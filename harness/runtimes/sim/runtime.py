"""The virtual-time runtime: the system's own code on the simulated network, as fast as the CPU goes."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from typing import Any

from harness.faults.primitives import FaultFailed, Peer
from harness.runtimes.base import Recorded, RunSettings, ServiceFailure, Session
from harness.runtimes.sim import host as sim_host
from harness.runtimes.sim.guards import deterministic
from harness.runtimes.sim.host import SimClock, SimDisk, SimHost
from harness.runtimes.sim.interference import Interference
from harness.runtimes.sim.loop import SimLoop
from harness.runtimes.sim.machine import Machine
from harness.runtimes.sim.primitives import SimPrimitives
from harness.runtimes.sim.process import Process
from harness.system import Client, Event, Host, Node

START_S = 5.0
"""Run time 0 is this long after the first node was started: time to connect and to fill caches."""

READY_WITHIN_S = 30.0
"""A node that is (re)started by a fault's undo must listen within this time."""


class NotReady(RuntimeError):
    """A node did not come up, so that there is no system to exercise."""


class SimRuntime:
    """See `harness.runtimes.base.Runtime`. One run at a time in a process."""

    name = "sim"

    def run[T](self, settings: RunSettings, body: Callable[[Session], Awaitable[T]]) -> T:
        loop = SimLoop(settings.seed)
        session = SimSession(loop, settings)
        with deterministic(loop.time, settings.seed), session.watching():
            return loop.run(self._main(session, body))

    async def _main[T](self, session: SimSession, body: Callable[[Session], Awaitable[T]]) -> T:
        await session.start()
        try:
            return await body(session)
        finally:
            await session.stop()


class SimSession:
    """A started system in virtual time; see `harness.runtimes.base.Session`."""

    def __init__(self, loop: SimLoop, settings: RunSettings) -> None:
        self._loop = loop
        self._system = settings.system
        self._seed = settings.seed
        unknown = settings.without - {safeguard.name for safeguard in self._system.safeguards}
        if unknown:
            raise ValueError(f"system {self._system.name} has no safeguard {', '.join(sorted(unknown))}")
        self._safeguards = {s.name: s.name not in settings.without for s in self._system.safeguards}
        self._clock = SimClock(loop, START_S)
        self._records: list[Recorded] = []
        self._failures: list[ServiceFailure] = []
        self._unhandled: Counter[str] = Counter()
        self._machines: dict[str, Machine] = {}
        self._nodes = {node.name: node for node in self._system.topology.nodes}
        self._disks = {name: SimDisk() for name in self._nodes}
        self._interference = {name: Interference() for name in self._nodes}
        self._row_types = frozenset((*self._system.tables.values(), Event))
        self._clients = 0
        self._primitives = SimPrimitives(
            loop.network, self._machines, self._interference, self._start_node, self._seed
        )

    @property
    def clock(self) -> SimClock:
        return self._clock

    @property
    def primitives(self) -> SimPrimitives:
        return self._primitives

    @property
    def records(self) -> Sequence[Recorded]:
        return self._records

    @property
    def failures(self) -> Sequence[ServiceFailure]:
        return self._failures

    def statistics(self) -> Mapping[str, Any]:
        return {
            "clients": self._clients,
            "connections": self._loop.network.connections,
            "records": len(self._records),
            "unhandled_errors": dict(sorted(self._unhandled.items())),
        }

    # ------------------------------------------------------------------ nodes

    async def start(self) -> None:
        """Bring up the network, then every node in the order of the topology, each when the last is ready."""
        network, topology = self._loop.network, self._system.topology
        for link in topology.links:
            network.add_link(link)
        for node in topology.nodes:
            peer = Peer(node.name, node.role, node.zone)
            self._machines[node.name] = network.add_machine(peer, names=(node.role,))
        for node in topology.nodes:
            try:
                await self._start_node(node.name)
            except FaultFailed as error:
                raise NotReady(f"system {self._system.name}: {error}") from error
        if self._clock.now() > 0:
            raise NotReady(
                f"system {self._system.name}: its nodes took {self._clock.now() + START_S:.1f} s to start; "
                f"they have {START_S:g} s"
            )
        await asyncio.sleep(-self._clock.now())

    async def stop(self) -> None:
        """End every process; nothing of it is left."""
        for machine in self._machines.values():
            if machine.state == "paused":
                machine.resume()
            machine.kill()
        await asyncio.sleep(1.0)

    async def _start_node(self, name: str) -> None:
        node = self._nodes[name]
        machine = self._machines[name]
        started: asyncio.Future[SimHost] = self._loop.create_future()
        main = machine.start(lambda: self._life(node, machine, started))
        host = await started
        ready = asyncio.ensure_future(host.ready.wait())
        try:
            await asyncio.wait({ready, main}, timeout=READY_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if not host.ready.is_set():
            last = [failure.error for failure in self._failures if failure.host == name]
            why = last[-1] if last else f"it does not listen {READY_WITHIN_S:g} s after its start"
            raise FaultFailed(f"{name} did not start: {why}")

    async def _life(self, node: Node, machine: Machine, started: asyncio.Future[SimHost]) -> None:
        process = Process.current()
        assert process is not None
        host = self._host(
            node.name,
            node.role,
            node.zone,
            None,
            node.config,
            self._disks[node.name],
            self._interference[node.name],
        )
        started.set_result(host)
        error = "its service ended, though nothing stopped it"
        try:
            await node.service(host)
        except asyncio.CancelledError:
            if process.alive:
                error = "its service was cancelled from within"
            raise
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"
        finally:
            if process.alive:
                self._failures.append(ServiceFailure(self._clock.now(), node.name, error))
            await host.close()
            if process.alive:
                machine.kill()

    def _host(
        self,
        name: str,
        role: str,
        zone: str,
        group: str | None,
        config: Mapping[str, Any],
        disk: SimDisk,
        interference: Interference,
    ) -> SimHost:
        return SimHost(
            name=name,
            role=role,
            zone=zone,
            group=group,
            config=config,
            topology=self._system.topology,
            clock=self._clock,
            rng=random.Random(f"{self._seed}/host/{name}"),
            disk=disk,
            emit=self._emit,
            safeguards=self._safeguards,
            interference=interference,
        )

    # ------------------------------------------------------------------ clients

    def client(self, client: Client, role: str) -> AbstractAsyncContextManager[Host]:
        return self._client(client, role)

    @asynccontextmanager
    async def _client(self, client: Client, role: str) -> AsyncIterator[Host]:
        network = self._loop.network
        peer = Peer(client.name, role, client.zone, client.group)
        machine = network.add_machine(peer, access=client.access)
        self._clients += 1
        token = Process.variable.set(machine.adopt())
        host = self._host(
            client.name, role, client.zone, client.group, client.params, SimDisk(), Interference()
        )
        try:
            yield host
        finally:
            await host.close()
            # What is queued (a last FIN) leaves before the machine does.
            await asyncio.sleep(0)
            network.flush(self._loop.now_s)
            network.remove_machine(machine)
            Process.variable.reset(token)

    # ------------------------------------------------------------------ what is reported

    def _emit(self, name: str, row: object) -> None:
        if type(row) not in self._row_types:
            self._failures.append(
                ServiceFailure(
                    self._clock.now(),
                    name,
                    f"emitted a {type(row).__name__}, which the system does not declare",
                )
            )
            return
        if isinstance(row, Event) and row.name not in self._system.events:
            self._failures.append(
                ServiceFailure(self._clock.now(), name, f"emitted the undeclared event '{row.name}'")
            )
            return
        self._records.append(Recorded(self._clock.now(), name, row))

    def watching(self) -> AbstractContextManager[None]:
        """Count unhandled errors of request handlers and callbacks instead of printing them."""
        return _Watch(self._loop, self._unhandled)


class _Watch(logging.Handler, AbstractContextManager[None]):
    def __init__(self, loop: SimLoop, unhandled: Counter[str]) -> None:
        super().__init__(logging.WARNING)
        self._unhandled = unhandled
        loop.set_exception_handler(self._callback_failed)

    def __enter__(self) -> None:
        self._kept = sim_host.logger.propagate
        sim_host.logger.propagate = False
        sim_host.logger.addHandler(self)

    def __exit__(self, *_: object) -> None:
        sim_host.logger.removeHandler(self)
        sim_host.logger.propagate = self._kept

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._unhandled[_said(record.getMessage(), error)] += 1

    def _callback_failed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._unhandled[_said(str(context.get("message", "")), context.get("exception"))] += 1


def _said(message: str, error: BaseException | None) -> str:
    # The message names the client's address; one line an error, not one a client.
    return message if error is None else f"{type(error).__name__}: {error}"
