"""Driving a session with the clients of an experiment's loads."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.runtimes.base import Session
from harness.spec.model import Load
from harness.system import System, Workload
from harness.workload.arrivals import arrival_times, client_rng


@dataclass(frozen=True, slots=True)
class ClientFailure:
    """A client's code raised: the workload is broken, not the system under test."""

    t_s: float
    client: str
    error: str


@dataclass(frozen=True, slots=True)
class Driven:
    """What became of the clients. `asked_to_leave`: still there at the end of the drain, then cancelled."""

    arrived: int
    left: int
    asked_to_leave: int
    failures: tuple[ClientFailure, ...]


class Driver:
    """`await Driver(...).run()` brings all clients, waits for them, and tells what became of them."""

    def __init__(
        self, session: Session, system: System, loads: Mapping[str, Load], *, seed: int, drain_s: float
    ) -> None:
        self._session = session
        self._workloads = {workload.name: workload for workload in system.workloads}
        unknown = [name for name in loads if name not in self._workloads]
        if unknown:
            raise ValueError(f"system {system.name} has no workload {', '.join(unknown)}")
        self._loads = loads
        self._seed = seed
        self._drain_s = drain_s
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._failures: list[ClientFailure] = []
        self.arrived = 0

    @property
    def active(self) -> int:
        """Clients there now."""
        return len(self._tasks)

    async def run(self) -> Driven:
        clock = self._session.clock
        begin_s = clock.now()
        end_s = begin_s + max((load.for_ for load in self._loads.values()), default=0.0)
        asked = 0
        try:
            for at_s, name, index in self._arrivals():
                await _sleep_until(self._session, begin_s + at_s)
                self._arrive(self._workloads[name], index)
            await _sleep_until(self._session, end_s)
            if self._tasks:
                await asyncio.wait(list(self._tasks), timeout=self._drain_s)
        finally:
            asked = len(self._tasks)
            for task in list(self._tasks):
                task.cancel()
            if self._tasks:
                await asyncio.wait(list(self._tasks))
        return Driven(self.arrived, self.arrived - asked, asked, tuple(self._failures))

    def _arrivals(self) -> Iterator[tuple[float, str, int]]:
        """All loads in one order of time; ties by name."""
        return heapq.merge(*(self._stream(name, load) for name, load in sorted(self._loads.items())))

    def _stream(self, name: str, load: Load) -> Iterator[tuple[float, str, int]]:
        for index, at_s in enumerate(arrival_times(load, name, self._seed)):
            yield at_s, name, index

    def _arrive(self, workload: Workload, index: int) -> None:
        self.arrived += 1
        task = asyncio.get_running_loop().create_task(
            self._life(workload, index), name=f"{workload.name}-{index}"
        )
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def _life(self, workload: Workload, index: int) -> None:
        name = f"{workload.name}-{index}"
        try:
            rng = client_rng(workload.name, index, self._seed)
            client = workload.make(rng, self._loads[workload.name].mix, index)
            name = client.name
            async with self._session.client(client, workload.role) as host:
                await workload.run(host)
        except asyncio.CancelledError:
            pass  # asked to leave
        except Exception as error:
            self._failures.append(
                ClientFailure(self._session.clock.now(), name, f"{type(error).__name__}: {error}")
            )


async def _sleep_until(session: Session, time_s: float) -> None:
    wait_s = time_s - session.clock.now()
    if wait_s > 0:
        await session.clock.sleep(wait_s)
