"""`Driver`: runs the clients of all loads of an experiment against a started system."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from harness.diagnostics import Code, Diagnostic, unknown_name
from harness.errors import InvalidInput
from harness.experiment.load import Load
from harness.system import Client, Clock, Host, System, Workload
from harness.system.streams import stream
from harness.text import describe_error
from harness.workload.records import ClientOutcome, ClientRecord, LoadRecord, lateness
from harness.workload.schedule import arrival_times

LEAVE_S = 30.0
"""How long a client may take to end once it is cancelled."""

NOT_ENDED = f"it did not end within {LEAVE_S:g} s of being cancelled"

STRAY_CANCELLATION = "its code raised asyncio.CancelledError, and nobody cancelled the client"
"""Why a client failed that ends like a cancelled one: it cancelled itself, or awaited a task that was cancelled."""


class ClientNetwork(Protocol):
    """What a driver needs of a `harness.runtime.contract.Session`: a clock, and a host for each client."""

    @property
    def clock(self) -> Clock: ...

    def client(self, client: Client, role: str) -> AbstractAsyncContextManager[Host]: ...


@dataclass(frozen=True, slots=True)
class ClientFailure:
    """A client's code raised, or it did not end: an error of the workload's code, not of the system."""

    t_s: float
    client: str
    error: str


@dataclass(frozen=True, slots=True)
class LoadResult:
    """`left`: ended by themselves. `cancelled`: still there at the end of the drain."""

    arrived: int
    left: int
    cancelled: int
    failures: tuple[ClientFailure, ...]


class LoadDriver(Protocol):
    """Runs the clients of a load against a started system: `Driver`, or one with its clients in other processes.

    `arrived`, `active`, `clients`, `records` and `statistics` may be read during `run`, and after it however it ended.
    """

    @property
    def arrived(self) -> int: ...
    @property
    def active(self) -> int: ...
    @property
    def clients(self) -> Sequence[ClientRecord]:
        """Every client that has arrived."""
        ...

    @property
    def records(self) -> Sequence[LoadRecord]:
        """What the driver itself records (`harness.workload.records`), beside what clients report."""
        ...

    def statistics(self) -> Mapping[str, Any]: ...

    async def run(self) -> LoadResult: ...


class Driver:
    """All loads of an experiment, by name, against one started system.

    InvalidInput for a load whose workload or mix the system does not have, with all of them.
    """

    def __init__(
        self,
        session: ClientNetwork,
        system: System,
        loads: Mapping[str, Load],
        *,
        seed: int,
        drain_s: float,
    ) -> None:
        self._session = session
        self._workloads = {workload.name: workload for workload in system.workloads}
        self._loads = loads
        self._seed = seed
        self._drain_s = drain_s
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._clients: dict[str, ClientRecord] = {}
        self._leaving = False
        self._failures: list[ClientFailure] = []
        self._late_s: list[float] = []
        self.arrived = 0
        check_loads(self._workloads, loads)

    @property
    def active(self) -> int:
        """How many clients are there now."""
        return len(self._tasks)

    @property
    def clients(self) -> Sequence[ClientRecord]:
        return tuple(self._clients.values())

    @property
    def records(self) -> Sequence[LoadRecord]:
        return ()

    def statistics(self) -> Mapping[str, Any]:
        """How late clients arrived, in seconds; 0 in virtual time."""
        return {"driver": "asyncio", **lateness_statistics(self._late_s)}

    async def run(self) -> LoadResult:
        """Let all clients arrive, and return when every one has left.

        Clients that are still there `drain_s` after the end of the longest load are cancelled; `Workload.run` can
        report before it ends. One that has not ended 30 s later is recorded as a failure. When this is cancelled
        itself, all clients are cancelled with it.
        """
        start_s = self._session.clock.now()
        try:
            async with asyncio.TaskGroup() as group:
                for name, load in self._loads.items():
                    group.create_task(self._arrive(name, load, start_s), name=f"load:{name}")
            end_s = (
                start_s + max((load.duration_s for load in self._loads.values()), default=0.0) + self._drain_s
            )
            if self._tasks:
                await asyncio.wait(list(self._tasks), timeout=max(0.0, end_s - self._session.clock.now()))
            cancelled = len(self._tasks)
            await self._cancel_clients()
        except BaseException:
            await self._cancel_clients()
            raise
        return LoadResult(self.arrived, self.arrived - cancelled, cancelled, tuple(self._failures))

    async def _arrive(self, name: str, load: Load, start_s: float) -> None:
        workload, clock = self._workloads[load.workload_name(name)], self._session.clock
        for index, at_s in enumerate(arrival_times(self._seed, name, load.segments)):
            await clock.sleep(max(0.0, start_s + at_s - clock.now()))
            client = make_client(workload, name, load.mix, index, self._seed)
            self._late_s.append(clock.now() - start_s - at_s)
            self.arrived += 1
            key = client.name
            if key in self._clients:
                key = f"{client.name}#{self.arrived}"
                self._clients[key] = ClientRecord(key, workload.name, client.group, clock.now())
                self._end(key, "failed", f"another client has the name {client.name}")
                continue
            self._clients[key] = ClientRecord(key, workload.name, client.group, clock.now())
            task = asyncio.get_running_loop().create_task(
                self._run_client(workload, client), name=f"client:{client.name}"
            )
            self._tasks[task] = client.name
            task.add_done_callback(self._tasks.pop)

    async def _run_client(self, workload: Workload, client: Client) -> None:
        try:
            async with self._session.client(client, workload.role) as host:
                await workload.run(host)
        except asyncio.CancelledError:
            if self._leaving:
                self._end(client.name, "cancelled")
                raise
            self._end(client.name, "failed", STRAY_CANCELLATION)
        except Exception as error:  # it ends this client, and is reported, never dropped
            self._end(client.name, "failed", describe_error(error))
        else:
            self._end(client.name, "cancelled" if self._leaving else "left")

    async def _cancel_clients(self) -> None:
        self._leaving = True
        tasks = dict(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=LEAVE_S)
        for task, name in tasks.items():
            if not task.done():
                self._fail(name, NOT_ENDED)
                self._clients[name] = replace(self._clients[name], error=NOT_ENDED)
            elif self._clients[name].ended_s is None:  # cancelled before its first step
                self._end(name, "cancelled")

    def _end(self, client: str, outcome: ClientOutcome, error: str | None = None) -> None:
        """Record how a client has ended."""
        ended = replace(
            self._clients[client], ended_s=self._session.clock.now(), outcome=outcome, error=error
        )
        self._clients[client] = ended
        if error is not None:
            self._fail(client, error)

    def _fail(self, client: str, error: str) -> None:
        self._failures.append(ClientFailure(self._session.clock.now(), client, error))


def lateness_statistics(late_s: Sequence[float]) -> Mapping[str, Any]:
    """For a run's statistics: how late its clients arrived."""
    found = lateness(late_s)
    return {} if found is None else {"starts": asdict(found)}


def make_client(workload: Workload, load: str, mix: str, index: int, seed: int) -> Client:
    """The client that arrives as the `index`-th of a load. Nothing runs: `Workload.make` is pure.

    Clients of a load with a name of its own have that name in front of theirs: a workload names the clients of all
    its loads alike.
    """
    client = workload.make(stream(seed, "client", load, index), mix, index)
    return client if load == workload.name else replace(client, name=f"{load}-{client.name}")


def client_groups(system: System, loads: Mapping[str, Load], seed: int) -> tuple[str, ...]:
    """The groups of all clients that arrive, sorted. Nothing runs: `Workload.make` is pure."""
    workloads = {workload.name: workload for workload in system.workloads}
    found: set[str] = set()
    for name, load in loads.items():
        workload = workloads[load.workload_name(name)]
        for index, _ in enumerate(arrival_times(seed, name, load.segments)):
            if found.issuperset(workload.groups):
                break
            found.add(make_client(workload, name, load.mix, index, seed).group)
    return tuple(sorted(found))


def check_loads(workloads: Mapping[str, Workload], loads: Mapping[str, Load]) -> None:
    """InvalidInput for loads whose workload or mix the system does not have."""
    problems: list[Diagnostic] = []
    for name, load in loads.items():
        workload = workloads.get(load.workload_name(name))
        if workload is None:
            problems.append(unknown_name("workload", load.workload_name(name), workloads))
        elif load.mix not in workload.mixes:
            problems.append(unknown_name("mix", load.mix, workload.mixes, f"workload {workload.name}"))
        if load.expected_clients <= 0:
            found = f"load {name} starts no clients"
            problems.append(Diagnostic(Code.OUT_OF_RANGE, found, "a rate and a duration must be > 0"))
    if problems:
        raise InvalidInput(problems)
