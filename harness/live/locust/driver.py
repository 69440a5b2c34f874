"""`LocustDriver`: runs a run's clients in Locust's processes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.experiment.load import Load
from harness.faults.primitives import FaultFailed, HostIdentity
from harness.live import messages
from harness.live.locust import protocol
from harness.live.locust.cluster import LocustCluster
from harness.live.locust.connection import LoadFailed, Worker
from harness.live.messages import Address, RowCodec
from harness.live.remote import record
from harness.system import System
from harness.workload.driver import LEAVE_S, ClientFailure, LoadResult, check_loads, lateness_statistics
from harness.workload.records import ClientOutcome, ClientRecord, LoadRecord, LoadRequest, LoadSession

if TYPE_CHECKING:
    from harness.live.session import LiveClients

SLACK_S = 5.0
"""How much longer than its clients a process may take to report that they have left."""


@dataclass(slots=True)
class _ActiveClient:
    peer: HostIdentity
    arrived: protocol.Arrived
    worker: str

    def record(self, left_s: float | None = None, error: str | None = None) -> LoadSession:
        arrived = self.arrived
        return LoadSession(
            t_s=arrived.t_s,
            client=arrived.client,
            load=arrived.load,
            index=arrived.index,
            worker=self.worker,
            intended_s=arrived.intended_s,
            late_s=arrived.t_s - arrived.intended_s,
            left_s=left_s,
            error=error,
        )


class LocustDriver:
    """As `harness.workload.driver.Driver`, with the clients in Locust's processes."""

    def __init__(
        self,
        cluster: LocustCluster,
        network: LiveClients,
        system: System,
        loads: Mapping[str, Load],
        *,
        drain_s: float,
    ) -> None:
        check_loads({workload.name: workload for workload in system.workloads}, loads)
        self._connection = cluster.connection
        self._network = network
        self._rows = RowCodec(system)
        self._loads = loads
        self._drain_s = drain_s
        self._clients: dict[str, _ActiveClient] = {}
        self._client_records: dict[str, ClientRecord] = {}
        self._failures: list[ClientFailure] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._sessions: list[LoadSession] = []
        self._requests: list[LoadRequest] = []
        self._cancelled = 0
        self.arrived = 0
        cluster.connection.on_message = self._receive

    @property
    def active(self) -> int:
        return len(self._clients)

    async def run(self) -> LoadResult:
        """As `Driver.run`. Raises LoadFailed when a process of the load ends before its clients."""
        clock, connection = self._network.clock, self._connection
        start_s = clock.now()
        plans = {
            name: protocol.LoadPlan(load.workload_name(name), load.segments, load.mix)
            for name, load in self._loads.items()
        }
        connection.send_all(protocol.Start(plans, start_s))
        try:
            longest_s = max((load.duration_s for load in self._loads.values()), default=0.0)
            await connection.until_finished(start_s + longest_s + self._drain_s - clock.now())
        finally:
            await self._cancel_clients()
        if not connection.finished:
            connection.raise_failure()
        await connection.collect_totals()
        return LoadResult(
            self.arrived, self.arrived - self._cancelled, self._cancelled, tuple(self._failures)
        )

    async def _cancel_clients(self) -> None:
        """Returns when all clients have left, or when the load has failed."""
        connection = self._connection
        with suppress(LoadFailed):
            connection.raise_failure()
            if not connection.finished:
                connection.send_all(protocol.Leave())
                if not await connection.until_finished(LEAVE_S + SLACK_S):
                    connection.fail(f"a process of the load did not answer for {LEAVE_S + SLACK_S:g} s")
        if self._tasks:
            await asyncio.wait(self._tasks)

    # ------------------------------------------------------------------ what the processes report

    def _receive(self, worker: Worker, message: Any) -> None:
        match message:
            case protocol.Arrived():
                self._on_arrival(worker, message)
            case messages.Resolve():
                self._create_task(self._resolve(worker, message))
            case protocol.Requested(request):
                self._requests.append(request)
            case protocol.Attempts(by_node):
                for node, total in by_node.items():
                    self._network.attempts[node] += total - worker.attempts.get(node, 0)
                worker.attempts = by_node
            case protocol.Left():
                self._on_leave(message)
            case _:
                record(self._network.journal, self._rows, message)

    def _on_arrival(self, worker: Worker, arrived: protocol.Arrived) -> None:
        self.arrived += 1
        peer = HostIdentity(arrived.client, arrived.role, arrived.zone, arrived.group)
        try:
            self._network.arrive(peer, arrived.access)
        except ValueError as error:
            name = f"{arrived.client}#{self.arrived}" if arrived.client in self._clients else arrived.client
            self._client_records[name] = self._client_record(arrived, name)
            self._fail(arrived.client, arrived.t_s, f"ValueError: {error}")
            self._end_client(name, arrived.t_s, "failed", f"ValueError: {error}")
            return
        self._client_records[arrived.client] = self._client_record(arrived, arrived.client)
        self._clients[arrived.client] = _ActiveClient(peer, arrived, worker.name)

    async def _resolve(self, worker: Worker, question: messages.Resolve) -> None:
        addresses: Sequence[Address] = ()
        client = self._clients.get(question.host)
        if client is not None:
            try:
                addresses = await self._network.route(client.peer, question.name, question.port)
            except FaultFailed as error:
                self._network.journal.fail(
                    "the harness", f"no route from {question.host} to {question.name}: {error}"
                )
        self._connection.send(worker.key, messages.Route(question.number, tuple(addresses)))

    def _on_leave(self, left: protocol.Left) -> None:
        client = self._clients.pop(left.client, None)
        if left.error is not None:
            self._fail(left.client, left.t_s, left.error)
        if client is None:
            return
        self._end_client(
            left.client, None if left.outcome == "unended" else left.t_s, left.outcome, left.error
        )
        self._cancelled += left.outcome in ("cancelled", "unended")
        self._sessions.append(client.record(left.t_s, left.error))
        self._create_task(self._network.leave(client.peer))

    def _client_record(self, arrived: protocol.Arrived, name: str) -> ClientRecord:
        workload = self._loads[arrived.load].workload_name(arrived.load)
        return ClientRecord(name, workload, arrived.group, arrived.t_s)

    def _end_client(
        self, name: str, ended_s: float | None, outcome: ClientOutcome, error: str | None
    ) -> None:
        record = self._client_records[name]
        self._client_records[name] = replace(record, ended_s=ended_s, outcome=outcome, error=error)

    def _create_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _fail(self, client: str, t_s: float, error: str) -> None:
        self._failures.append(ClientFailure(t_s, client, error))

    # ------------------------------------------------------------------ what the run keeps

    @property
    def clients(self) -> Sequence[ClientRecord]:
        return tuple(self._client_records.values())

    @property
    def records(self) -> Sequence[LoadRecord]:
        """Rows of sessions and requests, with those of sessions that have not ended."""
        return [*self._sessions, *(client.record() for client in self._clients.values()), *self._requests]

    def statistics(self) -> Mapping[str, Any]:
        """Lateness in seconds, the workers, and Locust's own totals (None if it sent none)."""
        totals = self._connection.totals
        sessions = [row for row in self.records if isinstance(row, LoadSession)]
        return {
            "driver": "locust",
            **lateness_statistics([session.late_s for session in sessions]),
            "requests": len(self._requests),
            "workers": {worker.name: _statistics_of(worker) for worker in self._connection.workers.values()},
            "locust": None
            if totals is None
            else {
                "requests": totals.requests,
                "failures": totals.failures,
                "users": totals.users,
                "by_name": {name: list(counts) for name, counts in totals.by_name.items()},
            },
        }


def _statistics_of(worker: Worker) -> Mapping[str, Any]:
    prepared, finished = worker.prepared, worker.finished
    return {
        "machine": worker.hello.machine,
        "locust": worker.hello.versions.get("locust", "?"),
        "clock_offset_s": prepared.offset_s if prepared else None,
        "clock_uncertain_s": prepared.uncertain_s if prepared else None,
        "clock_drift_s": finished.offset_s - prepared.offset_s if finished and prepared else None,
        "cpu_s": finished.cpu_s if finished else None,
        "users_added": finished.added if finished else None,
    }
