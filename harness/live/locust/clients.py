"""`Clients`: the sessions of one process of the load, in its asyncio loop: the same code as in every other runtime."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

from harness.experiment.model import Load
from harness.faults.primitives import HostIdentity
from harness.live.host import LiveClock, LiveHost
from harness.live.locust import protocol as words
from harness.live.locust.trace import CUT_OFF, RequestTrace
from harness.live.messages import Address
from harness.runtime.host import MemoryDisk
from harness.runtime.unhandled import describe_error, is_defect, report_context, report_logs
from harness.system import Row, System, Topology, find_system
from harness.system.streams import stream
from harness.workload.drive import LEAVE_S
from harness.workload.records import LoadRequest
from harness.workload.schedule import Arrival, schedule, share

type Tell = Callable[[object], None]
type Counted = Callable[[LoadRequest, str, str | None], None]
"""A request is over: its name is what Locust's statistics group it by, the last is why it failed. One that was cut off
because its client was asked to leave has not."""

ALIVE_EVERY_S = 1.0

COUNTS_EVERY_S = 0.05
"""How often connection attempts are told when there were some."""


class Clients:
    """Everything is called in the loop's thread, except where it says otherwise. `tell` sends to the harness."""

    def __init__(self, prepare: words.Prepare, tell: Tell, counted: Counted, clock: LiveClock) -> None:
        self._prepare = prepare
        self._tell = tell
        self._counted = counted
        self._system: System = find_system(prepare.reference)
        self._tables = {table: name for name, table in self._system.tables.items()}
        self._workloads = {workload.name: workload for workload in self._system.workloads}
        self._roles = {node.name: node.role for node in self._system.topology.nodes}
        self.clock = clock
        self.attempts: Counter[str] = Counter()
        self._told: Mapping[str, int] = {}
        self._loads: Mapping[str, Load] = {}
        self._start_s = 0.0
        self._tasks: dict[asyncio.Task[None], str | None] = {}
        """Sessions, and the client once it has come."""
        self._asked = False
        self._expected = 0
        self._over = 0
        self._requests = 0
        self._routes: dict[tuple[str, str, int], Sequence[Address]] = {}
        self._questions: dict[int, tuple[tuple[str, str, int], asyncio.Future[Sequence[Address]]]] = {}
        self._numbers = count(1)
        self._finished = False
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._exception_handler)
        report_logs(self.unhandled)
        self._telling = loop.create_task(self._tell_attempts())

    # ------------------------------------------------------------------ what hosts need

    @property
    def system_name(self) -> str:
        return self._system.name

    @property
    def topology(self) -> Topology:
        return self._system.topology

    @property
    def safeguards(self) -> Mapping[str, bool]:
        return self._prepare.safeguards

    def emit(self, host: str, role: str, row: Row) -> None:
        self._tell(words.emitted(self.clock.now(), host, role, row, self._tables))

    # ------------------------------------------------------------------ sessions

    def begin(self, message: words.Begin) -> list[Arrival]:
        """Returns the arrivals that this process sees to."""
        self._loads = {name: Load.model_construct(**load) for name, load in message.loads.items()}
        self._start_s = message.start_s
        everything = schedule(self._prepare.seed, self._loads)
        arrivals = list(share(everything, self._prepare.number, self._prepare.workers))
        self._expected = len(arrivals)
        if not arrivals:
            self._finish()
        return arrivals

    def elapsed_s(self) -> float:
        """Seconds since the load began. From any thread."""
        return self.clock.now() - self._start_s

    def start(self, arrival: Arrival, ended: Callable[[str | None], None]) -> None:
        """Begin the session at its intended time; `ended` is called at its end."""
        if self._asked:
            ended(None)
            return
        task = asyncio.get_running_loop().create_task(self._session(arrival, ended))
        self._tasks[task] = None
        task.add_done_callback(self._gone)

    async def _session(self, arrival: Arrival, ended: Callable[[str | None], None]) -> None:
        error: str | None = None
        try:
            intended_s = self._start_s + arrival.at_s
            await self.clock.sleep(max(0.0, intended_s - self.clock.now()))
            error = await self._live(arrival, intended_s)
        finally:
            ended(error)

    async def _live(self, arrival: Arrival, intended_s: float) -> str | None:
        prepare, workload = self._prepare, self._workloads[arrival.load]
        load = self._loads[arrival.load]
        rng = stream(prepare.seed, "client", arrival.load, arrival.index)
        client = workload.make(rng, load.mix, arrival.index)
        access = client.access
        link = (access.down_bps, access.up_bps, access.rtt_s, access.jitter_s, access.loss)
        self._tell(
            words.Came(
                client=client.name,
                role=workload.role,
                zone=client.zone,
                group=client.group,
                load=arrival.load,
                index=arrival.index,
                intended_s=intended_s,
                t_s=self.clock.now(),
                access=link,
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
            router=lambda name, port: self._route(client.name, name, port),
            traces=[RequestTrace(self.clock, lambda request: self._request(client.name, request)).config],
        )
        error: str | None = None
        try:
            await workload.run(host)
        except Exception as raised:  # it ends this client, and is reported, never dropped
            error = describe_error(raised)
        finally:
            await host.close()
            for key in [key for key in self._routes if key[0] == client.name]:
                del self._routes[key]
            self._tell(words.Left(client.name, self.clock.now(), self._asked, error))
        return error

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        self._over += 1
        if not task.cancelled() and (error := task.exception()) is not None:
            self.unhandled(f"a session: {describe_error(error)}", error)
        if self._over == self._expected:
            self._finish()

    async def leave(self) -> None:
        """Ask everybody to leave; whoever has not after a while is told as a failure."""
        self._asked = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=LEAVE_S)
        for name in filter(None, self._tasks.values()):
            error = f"it did not leave within {LEAVE_S:g} s of being asked"
            self._tell(words.Left(name, self.clock.now(), True, error))
        self._finish()

    def _finish(self) -> None:
        if not self._finished:
            self._finished = True
            self._tell_now()
            self._tell(words.Finished(self._requests, cpu_s=time.process_time()))

    # ------------------------------------------------------------------ names

    async def _route(self, client: str, name: str, port: int) -> Sequence[Address]:
        key = (client, name, port)
        known = self._routes.get(key)
        if known is None:
            number = next(self._numbers)
            answer: asyncio.Future[Sequence[Address]] = asyncio.get_running_loop().create_future()
            self._questions[number] = (key, answer)
            self._tell(words.Resolve(number, client, name, port))
            known = await answer
        return known

    def routed(self, message: words.Route) -> None:
        key, answer = self._questions.pop(message.number)
        addresses = tuple(Address(*values) for values in message.addresses)
        if not answer.done():
            if addresses:
                self._routes[key] = addresses
            answer.set_result(addresses)

    # ------------------------------------------------------------------ counts and errors

    def _request(self, client: str, values: Any) -> None:
        request = LoadRequest(client=client, worker=self._prepare.name, **values)
        self._requests += 1
        role = self._roles.get(request.target, request.target)
        name = f"{role} /{request.path.lstrip('/').partition('/')[0].partition('?')[0]}"
        failed = request.error
        if failed is None and request.status >= 400:
            failed = f"HTTP {request.status}"
        self._counted(request, name, None if self._asked and failed == CUT_OFF else failed)
        self._tell(words.Requested([getattr(request, name) for name in LoadRequest.__slots__]))

    async def _tell_attempts(self) -> None:
        loop = asyncio.get_running_loop()
        alive_s = -ALIVE_EVERY_S
        while True:
            if loop.time() - alive_s >= ALIVE_EVERY_S:
                alive_s = loop.time()
                self._tell(words.Alive())
            await asyncio.sleep(COUNTS_EVERY_S)
            self._tell_now()

    def _tell_now(self) -> None:
        if self.attempts != self._told:
            self._told = dict(self.attempts)
            self._tell(words.Attempts(self._told))

    def unhandled(self, error: str, cause: BaseException | None = None, *, defect: bool = False) -> None:
        self._tell(words.Unhandled(self._prepare.name, error, defect or is_defect(cause)))

    def _exception_handler(self, _loop: Any, context: Mapping[str, Any]) -> None:
        report_context(self.unhandled, context)
