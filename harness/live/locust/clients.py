"""`Clients`: the sessions of one process of Locust, in its asyncio loop: the same code as in every other runtime."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from harness.faults.primitives import HostIdentity
from harness.live.host import LiveClock, LiveHost
from harness.live.locust import protocol
from harness.live.locust.trace import CUT_OFF, RequestTrace
from harness.live.remote import RemoteContext
from harness.runtime.host import MemoryDisk
from harness.system import find_system
from harness.system.streams import stream
from harness.text import describe_error
from harness.workload.driver import LEAVE_S, NOT_ENDED, STRAY_CANCELLATION, make_client
from harness.workload.records import ClientOutcome, LoadRequest
from harness.workload.schedule import Arrival, scheduled_arrivals, share_of

type Send = Callable[[object], None]
type OnRequest = Callable[[LoadRequest, str, str | None], None]
"""Called when a request ends: with the name that Locust's statistics group it by, and why it failed. One that was cut
off because its client was cancelled at the end of the run did not fail."""

type OnEnd = Callable[[str | None], None]
"""Called at the end of a session, with the error its code raised."""

ALIVE_EVERY_S = 1.0

ATTEMPTS_EVERY_S = 0.05
"""How often connection attempts are sent when there are new ones."""


class Clients(RemoteContext):
    """Every method is for the loop's thread, unless it says otherwise. `send` sends to the harness."""

    def __init__(
        self, prepare: protocol.Prepare, send: Send, on_request: OnRequest, clock: LiveClock
    ) -> None:
        super().__init__(prepare.name, find_system(prepare.reference), prepare.safeguards, clock, send)
        self._prepare = prepare
        self._on_request = on_request
        self._workloads = {workload.name: workload for workload in self.system.workloads}
        self._roles = {node.name: node.role for node in self.system.topology.nodes}
        self._sent_attempts: Mapping[str, int] = {}
        self._loads: Mapping[str, protocol.LoadPlan] = {}
        self._start_s = 0.0
        self._tasks: dict[asyncio.Task[None], str | None] = {}
        """Sessions, each with its client once that has arrived."""
        self._leaving = False
        self._expected = 0
        self._ended = 0
        self._requests = 0
        self._finished = False
        self.report_errors()
        self._sending = asyncio.create_task(self._send_periodically())

    # ------------------------------------------------------------------ sessions

    def start_load(self, message: protocol.Start) -> list[Arrival]:
        """Returns the arrivals that this process serves."""
        self._loads = message.loads
        self._start_s = message.start_s
        everything = scheduled_arrivals(self._prepare.seed, self._loads)
        arrivals = list(share_of(everything, self._prepare.number, self._prepare.workers))
        self._expected = len(arrivals)
        if not arrivals:
            self._finish()
        return arrivals

    def elapsed_s(self) -> float:
        """Seconds since the load started. From any thread."""
        return self.clock.now() - self._start_s

    def start_session(self, arrival: Arrival, on_end: OnEnd) -> None:
        """Start the session at its intended time; `on_end` is called at its end."""
        if self._leaving:
            on_end(None)
            return
        task = asyncio.get_running_loop().create_task(self._session(arrival, on_end))
        self._tasks[task] = None
        task.add_done_callback(self._on_session_end)

    async def _session(self, arrival: Arrival, on_end: OnEnd) -> None:
        error: str | None = None
        try:
            intended_s = self._start_s + arrival.at_s
            await self.clock.sleep(max(0.0, intended_s - self.clock.now()))
            error = await self._run_client(arrival, intended_s)
        finally:
            on_end(error)

    async def _run_client(self, arrival: Arrival, intended_s: float) -> str | None:
        prepare, load = self._prepare, self._loads[arrival.load]
        workload = self._workloads[load.workload]
        client = make_client(workload, arrival.load, load.mix, arrival.index, prepare.seed)
        self.send(
            protocol.Arrived(
                client=client.name,
                role=workload.role,
                zone=client.zone,
                group=client.group,
                load=arrival.load,
                index=arrival.index,
                intended_s=intended_s,
                t_s=self.clock.now(),
                access=client.access,
            )
        )
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = client.name
        peer = HostIdentity(client.name, workload.role, client.zone, client.group)
        host = LiveHost(
            self,
            peer,
            config=client.params,
            rng=stream(prepare.seed, "host", client.name),
            disk=MemoryDisk(),
            router=self.router(client.name),
            traces=[RequestTrace(self.clock, lambda request: self._record(client.name, request)).config],
        )
        error: str | None = None
        try:
            await workload.run(host)
        except asyncio.CancelledError:
            if self._leaving:
                raise
            error = STRAY_CANCELLATION
        except Exception as raised:  # it ends this client, and is reported, never dropped
            error = describe_error(raised)
        finally:
            outcome: ClientOutcome = "failed" if error else "cancelled" if self._leaving else "left"
            await host.close()
            self.forget(client.name)
            self.send(protocol.Left(client.name, self.clock.now(), outcome, error))
        return error

    def _on_session_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        self._ended += 1
        if not task.cancelled() and (error := task.exception()) is not None:
            self.unhandled(f"a session: {describe_error(error)}", error)
        if self._ended == self._expected:
            self._finish()

    async def leave(self) -> None:
        """Cancel all clients. One that has not ended after a time limit is reported as a failure."""
        self._leaving = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=LEAVE_S)
        for name in filter(None, self._tasks.values()):
            self.send(protocol.Left(name, self.clock.now(), "unended", NOT_ENDED))
        self._finish()

    def _finish(self) -> None:
        if not self._finished:
            self._finished = True
            self._send_attempts()
            self.send(protocol.Finished(self._requests, cpu_s=time.process_time()))

    # ------------------------------------------------------------------ counts

    def _record(self, client: str, values: Any) -> None:
        request = LoadRequest(client=client, worker=self._prepare.name, **values)
        self._requests += 1
        role = self._roles.get(request.target, request.target)
        name = f"{role} /{request.path.lstrip('/').partition('/')[0].partition('?')[0]}"
        failure = request.error
        if failure is None and request.status >= 400:
            failure = f"HTTP {request.status}"
        self._on_request(request, name, None if self._leaving and failure == CUT_OFF else failure)
        self.send(protocol.Requested(request))

    async def _send_periodically(self) -> None:
        loop = asyncio.get_running_loop()
        alive_s = -ALIVE_EVERY_S
        while True:
            if loop.time() - alive_s >= ALIVE_EVERY_S:
                alive_s = loop.time()
                self.send(protocol.Alive())
            await asyncio.sleep(ATTEMPTS_EVERY_S)
            self._send_attempts()

    def _send_attempts(self) -> None:
        if self.attempts != self._sent_attempts:
            self._sent_attempts = dict(self.attempts)
            self.send(protocol.Attempts(self._sent_attempts))
