"""`LocustDriver`: a run's clients, brought by the processes of a Locust load."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.experiment.model import Load
from harness.faults.primitives import FaultFailed, HostIdentity
from harness.live.locust import protocol as words
from harness.live.locust.cluster import LocustCluster, Stage, Worker
from harness.live.messages import Address
from harness.system import Access, System
from harness.workload.drive import LEAVE_S, ClientFailure, LoadResult, check_loads, lateness_figures
from harness.workload.records import LoadRecord, LoadRequest, LoadSession

SLACK_S = 5.0
"""How much longer than the clients a process may take to say that they have left."""


@dataclass(slots=True)
class _Present:
    """A client that is there."""

    peer: HostIdentity
    came: words.Came
    worker: str


class LocustDriver:
    """As `harness.workload.drive.Driver`, with the clients in Locust's processes."""

    def __init__(
        self,
        crew: LocustCluster,
        stage: Stage,
        system: System,
        loads: Mapping[str, Load],
        *,
        drain_s: float,
    ) -> None:
        check_loads({workload.name: workload for workload in system.workloads}, loads)
        self._crew = crew
        self._stage = stage
        self._system = system
        self._loads = loads
        self._drain_s = drain_s
        self._present: dict[str, _Present] = {}
        self._failures: list[ClientFailure] = []
        self._leaving: set[asyncio.Future[None]] = set()
        self._sessions: list[LoadSession] = []
        self._requests: list[LoadRequest] = []
        self._asked = 0
        self.arrived = 0
        crew.hear = self._heard

    @property
    def active(self) -> int:
        return len(self._present)

    async def run(self) -> LoadResult:
        """As `Driver.run`. Raises LoadLost when a process of the load is gone before its clients were."""
        clock = self._stage.clock
        start_s = clock.now()
        self._crew.send_all(words.Begin({name: _plain(load) for name, load in self._loads.items()}, start_s))
        finished = asyncio.ensure_future(self._crew.all_finished())
        try:
            longest_s = max((load.for_ for load in self._loads.values()), default=0.0)
            end_s = start_s + longest_s + self._drain_s
            await asyncio.wait({finished}, timeout=max(0.0, end_s - clock.now()))
            await self._see_out(finished)
            finished.result()
        except BaseException:
            await self._see_out(finished)
            raise
        finally:
            finished.cancel()
        await self._crew.sum_up()
        return LoadResult(self.arrived, self.arrived - self._asked, self._asked, tuple(self._failures))

    async def _see_out(self, finished: asyncio.Future[None]) -> None:
        if not finished.done():
            self._crew.send_all(words.Leave())
            await asyncio.wait({finished}, timeout=LEAVE_S + SLACK_S)
        if not finished.done():
            self._crew.broke(f"a process of the load did not answer for {LEAVE_S + SLACK_S:g} s")
            await asyncio.wait({finished})
        if self._leaving:
            await asyncio.wait(self._leaving)

    # ------------------------------------------------------------------ what the processes say

    def _heard(self, worker: Worker, message: Any) -> None:
        stage, journal = self._stage, self._stage.journal
        match message:
            case words.Came():
                self._came(worker, message)
            case words.Resolve():
                self._run(self._resolve(worker, message))
            case words.Emitted():
                self._emitted(worker, message)
            case words.Requested(values):
                self._requests.append(LoadRequest(*values))
            case words.Attempts(by_node):
                for node, total in by_node.items():
                    stage.attempts[node] += total - worker.attempts.get(node, 0)
                worker.attempts = by_node
            case words.Unhandled(client, error, defect):
                journal.unhandled(client, error, defect=defect)
            case words.Left():
                self._left(worker, message)

    def _came(self, worker: Worker, came: words.Came) -> None:
        self.arrived += 1
        peer = HostIdentity(came.client, came.role, came.zone, came.group)
        try:
            self._stage.came(peer, Access(*came.access))
        except ValueError as error:
            self._fail(came.client, came.t_s, f"ValueError: {error}")
            return
        self._present[came.client] = _Present(peer, came, worker.name)

    async def _resolve(self, worker: Worker, question: words.Resolve) -> None:
        addresses: Sequence[Address] = ()
        present = self._present.get(question.client)
        if present is not None:
            try:
                addresses = await self._stage.route(present.peer, question.name, question.port)
            except FaultFailed as error:
                self._stage.journal.fail(
                    "the harness", f"no way from {question.client} to {question.name}: {error}"
                )
        self._crew.send(
            worker.key,
            words.Route(question.number, [(a.node, a.host, a.port, a.rtt_s) for a in addresses]),
        )

    def _emitted(self, worker: Worker, message: words.Emitted) -> None:
        row = words.row_of(message, self._system)
        self._stage.journal.emit(message.client, message.role, row, message.t_s)

    def _left(self, worker: Worker, left: words.Left) -> None:
        present = self._present.pop(left.client, None)
        if left.error is not None:
            self._fail(left.client, left.t_s, left.error)
        if present is None:
            return
        self._asked += left.asked
        self._sessions.append(_session(present, left.t_s, left.error))
        self._run(self._stage.gone(present.peer))

    def _run(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _fail(self, client: str, t_s: float, error: str) -> None:
        self._failures.append(ClientFailure(t_s, client, error))

    # ------------------------------------------------------------------ what the run keeps

    @property
    def records(self) -> Sequence[LoadRecord]:
        """Raw rows of sessions and requests; sessions that have not ended are among them."""
        there = (_session(present, None, None) for present in self._present.values())
        return [*self._sessions, *there, *self._requests]

    def statistics(self) -> Mapping[str, Any]:
        """Figures of the load: lateness in seconds, and what Locust has counted beside."""
        crew = self._crew
        late = [session.late_s for session in self._sessions]
        late += [present.came.t_s - present.came.intended_s for present in self._present.values()]
        found: dict[str, Any] = {
            "driver": "locust",
            **lateness_figures(late),
            "requests": len(self._requests),
        }
        found["workers"] = {
            worker.name: {
                "machine": worker.hello.machine,
                "locust": worker.hello.versions.get("locust", "?"),
                "clock_offset_s": worker.prepared.offset_s if worker.prepared else None,
                "clock_uncertain_s": worker.prepared.uncertain_s if worker.prepared else None,
                "clock_drift_s": worker.finished.offset_s - worker.prepared.offset_s
                if worker.finished and worker.prepared
                else None,
                "cpu_s": worker.finished.cpu_s if worker.finished else None,
                "users_added": worker.finished.added if worker.finished else None,
            }
            for worker in crew.workers.values()
        }
        found["locust"] = None  # it told no sums
        if crew.totals is not None:
            found["locust"] = {
                "requests": crew.totals.requests,
                "failures": crew.totals.failures,
                "users": crew.totals.users,
                "by_name": {name: list(counts) for name, counts in crew.totals.by_name.items()},
            }
        return found


def _session(present: _Present, left_s: float | None, error: str | None) -> LoadSession:
    came = present.came
    return LoadSession(
        t_s=came.t_s,
        client=came.client,
        load=came.load,
        index=came.index,
        worker=present.worker,
        intended_s=came.intended_s,
        late_s=came.t_s - came.intended_s,
        left_s=left_s,
        error=error,
    )


def _plain(load: Load) -> dict[str, Any]:
    return {"arrive": load.arrive, "for_": load.for_, "mix": load.mix}
