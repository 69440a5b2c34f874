"""`LocustCluster`: Locust's processes, from the harness's side: started, prepared, and what they send."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from harness.errors import HarnessError
from harness.live.locust import protocol
from harness.live.locust.processes import LocustProcesses, locust_processes
from harness.live.options import LoadSettings
from harness.live.processes import run_environment
from harness.live.tasks import background
from harness.live.workspace import Workspace
from harness.runtime.contract import NotReady
from harness.runtime.messages import Channel
from harness.text import describe_error

START_S = 30.0
"""How long processes that are started here may take to get ready."""

REMOTE_START_S = 300.0
"""How long the run waits for workers that are started elsewhere."""

TOTALS_S = 8.0
"""How long the run waits for Locust's totals."""

SILENT_S = 10.0
"""A worker that sent nothing for this long hangs: it sends `Alive` once a second."""

QUIT_S = 3.0
"""How long the processes may take to end by themselves; then they are killed."""

REASON_S = 5.0
"""After the channel is closed: how long it may take until the reason is known."""


class LoadFailed(HarnessError):
    """A process of the load is gone or cannot go on, so that what its clients did is not known in full."""


@dataclass(slots=True)
class Worker:
    """A process that runs clients. `key`: Locust's name of it."""

    key: str
    name: str
    hello: protocol.Hello
    prepared: protocol.Prepared | None = None
    users_ready: bool = False
    finished: protocol.Finished | None = None
    attempts: Mapping[str, int] = field(default_factory=dict)
    last_message_s: float = 0.0
    """By the loop's time."""


@asynccontextmanager
async def locust_cluster(settings: LoadSettings, workspace: Workspace) -> AsyncIterator[LocustCluster | None]:
    """The processes of a load, all gone at the end of the block; None for a load that needs none.

    Workers that are started elsewhere are waited for here, before the run begins.
    """
    if settings.driver == "asyncio":
        yield None
        return
    async with AsyncExitStack() as stack:
        cluster = LocustCluster(workspace, settings, stack)
        if settings.master is not None:
            await cluster.start(run_environment(workspace.directory))
        try:
            yield cluster
        finally:
            await cluster.wait_for_exit()


class LocustCluster:
    """`start`, `prepare`, then a `LocustDriver`."""

    def __init__(self, workspace: Workspace, settings: LoadSettings, stack: AsyncExitStack) -> None:
        self._workspace = workspace
        self._settings = settings
        self._stack = stack
        self._processes: LocustProcesses | None = None
        self._channel: Channel | None = None
        self._changed = asyncio.Event()
        self._port: int | None = None
        self.failure: str | None = None
        """Why the load cannot go on."""
        self.workers: dict[str, Worker] = {}
        self.totals: protocol.Totals | None = None
        self.on_message: Callable[[Worker, Any], None] = lambda worker, message: None
        """Called with what a worker reports about its clients."""

    @property
    def address(self) -> str | None:
        """Where workers on other machines reach this one; None when there are none."""
        return None if self._settings.address is None else self._settings.address[0]

    # ------------------------------------------------------------------ start and end

    async def start(self, variables: Mapping[str, str]) -> None:
        """Start the processes with these environment variables; return when every worker is there. NotReady if not."""
        settings = self._settings
        self._processes = processes = await self._stack.enter_async_context(
            locust_processes(self._workspace, settings.plugins, self._on_exit)
        )
        variables = {**variables, "LOCUST_SKIP_MONKEY_PATCH": "1"}
        own, theirs = socket.socketpair()
        fd = theirs.fileno()
        host, port = settings.address or (self._workspace.address(0), 0)
        with theirs:
            if settings.alone:
                await processes.start("locust", ["single", "--socket", str(fd)], variables, [fd])
            else:
                arguments = ["master", "--socket", str(fd), "--bind", host, str(port)]
                arguments += ["--workers", str(settings.workers)]
                await processes.start("locust-master", arguments, variables, [fd])
        self._channel = await self._stack.enter_async_context(Channel.on(protocol.SOCKET, own))
        await self._stack.enter_async_context(background(self._read(self._channel)))
        if not settings.alone:
            await self._until_ready(
                START_S, lambda: self._port is not None, lambda: "Locust's master did not start"
            )
            if settings.master is None:
                for number in range(1, settings.workers + 1):
                    arguments = ["worker", "--master", host, str(self._port)]
                    await processes.start(f"locust-{number}", arguments, variables)
            else:
                print(
                    f"load: waiting for {settings.workers} worker(s), each started elsewhere with\n"
                    f"  harness load worker --master {host}:{self._port}",
                    file=sys.stderr,
                    flush=True,
                )
        await self._until_ready(
            START_S if settings.master is None else REMOTE_START_S,
            lambda: len(self.workers) >= settings.workers,
            lambda: f"{len(self.workers)} of {settings.workers} workers of the load are there",
        )
        self._check_versions()

    def _check_versions(self) -> None:
        own = version("streaming-resilience-harness")
        problems = [
            f"{worker.name} has harness {found}, this one is {own}"
            for worker in self.workers.values()
            if (found := worker.hello.versions.get("harness")) != own
        ]
        if problems:
            raise NotReady("; ".join(problems))

    async def prepare(
        self, reference: str, seed: int, *, safeguards: Mapping[str, bool], origin_s: float
    ) -> None:
        """Let every worker load the system, and start the first users. NotReady if one cannot."""
        for number, worker in enumerate(self._in_order()):
            self.send(
                worker.key,
                protocol.Prepare(
                    name=worker.name,
                    number=number,
                    workers=len(self.workers),
                    reference=reference,
                    seed=seed,
                    safeguards=safeguards,
                    origin_s=origin_s,
                ),
            )
        await self._until_all("load the system", lambda worker: worker.prepared is not None)
        self.send("", protocol.StartUsers())
        await self._until_all("start users", lambda worker: worker.users_ready)

    async def _until_all(self, what: str, holds: Callable[[Worker], bool]) -> None:
        await self._until_ready(
            START_S,
            lambda: all(map(holds, self.workers.values())),
            lambda: ", ".join(w.name for w in self._in_order() if not holds(w)) + f" did not {what}",
        )

    def _in_order(self) -> list[Worker]:
        return sorted(self.workers.values(), key=lambda worker: worker.name)

    async def wait_for_exit(self) -> None:
        """Give the processes time to end by themselves, if the load is complete."""
        if self._processes is not None and self.totals is not None:
            await self._processes.wait(QUIT_S)

    # ------------------------------------------------------------------ waiting

    async def _until(self, limit_s: float, holds: Callable[[], bool]) -> bool:
        """Wait until it holds; False after the time limit. LoadFailed as soon as a process fails."""
        try:
            async with asyncio.timeout(limit_s):
                while not holds():
                    self.raise_failure()
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        self.raise_failure()
        return True

    async def _until_ready(
        self, limit_s: float, holds: Callable[[], bool], describe: Callable[[], str]
    ) -> None:
        try:
            ready = await self._until(limit_s, holds)
        except LoadFailed as error:
            raise NotReady(str(error)) from error
        if not ready:
            raise NotReady(f"the load is not ready after {limit_s:g} s: {describe()}")

    async def until_finished(self, limit_s: float) -> bool:
        """Wait until every worker has finished; False after the time limit. LoadFailed as soon as a process fails."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + limit_s
        while not await self._until(
            max(0.0, min(SILENT_S / 4, deadline_s - loop.time())), lambda: self.finished
        ):
            for worker in self.workers.values():
                if worker.finished is None and loop.time() - worker.last_message_s > SILENT_S:
                    self.fail(f"{worker.name}, a process of the load, sent nothing for {SILENT_S:g} s")
            if loop.time() >= deadline_s:
                return False
        return True

    async def collect_totals(self) -> None:
        """Let Locust end, and wait for its totals."""
        requests = sum(w.finished.requests for w in self.workers.values() if w.finished is not None)
        self.send("", protocol.End(requests))
        with suppress(LoadFailed):
            await self._until(TOTALS_S, lambda: self.totals is not None)

    @property
    def finished(self) -> bool:
        """No worker has clients any more, and none will have."""
        return all(worker.finished is not None for worker in self.workers.values())

    def fail(self, reason: str) -> None:
        """The load cannot go on. The first reason counts."""
        if self.failure is None:
            self.failure = reason
            self._changed.set()

    def raise_failure(self) -> None:
        if self.failure is not None:
            raise LoadFailed(self.failure)

    def _on_exit(self, description: str) -> None:
        if self.totals is None:
            self.fail(description)

    # ------------------------------------------------------------------ messages

    def send(self, worker: str, *messages: object) -> None:
        """To a worker, by Locust's name of it; '' for the master."""
        if self._channel is not None:
            self._channel.send(protocol.Envelope(worker, protocol.CODEC.encode(*messages).decode()))

    def send_all(self, *messages: object) -> None:
        for key in self.workers:
            self.send(key, *messages)

    async def _read(self, channel: Channel) -> None:
        key = ""
        try:
            async for envelope in channel:
                key = envelope.worker
                for message in protocol.CODEC.decode(envelope.batch):
                    self._receive(key, message)
        except Exception as error:  # it may come from another machine, and be anything
            self.fail(
                f"a message of a process of the load ({self._name_of(key)}) is not valid: {describe_error(error)}"
            )
        if self.totals is None:
            # Most likely the process at the other end is gone; its exit says more.
            await asyncio.sleep(REASON_S)
            self.fail("the connection to the load is closed")

    def _name_of(self, key: str) -> str:
        worker = self.workers.get(key)
        return worker.name if worker is not None else key or "the master"

    def _receive(self, key: str, message: Any) -> None:
        match message:
            case protocol.Listening(port):
                self._port = port
            case protocol.Totals():
                self.totals = message
            case protocol.Hello():
                self._add_worker(key, message)
            case _ if (worker := self.workers.get(key)) is not None:
                worker.last_message_s = asyncio.get_running_loop().time()
                self._receive_from(worker, message)
        self._changed.set()

    def _add_worker(self, key: str, hello: protocol.Hello) -> None:
        if self.totals is not None:
            return  # it has come for the next run
        if self._settings.master is None and self._processes is not None:
            name = self._processes.name_of(hello.pid) or key
        else:
            name = f"{hello.machine}-{hello.pid}"
        if len(self.workers) >= self._settings.workers:
            self.fail(f"worker {name} came, but the run needs no more than {self._settings.workers}")
            return
        self.workers[key] = Worker(key, name, hello)

    def _receive_from(self, worker: Worker, message: Any) -> None:
        match message:
            case protocol.Prepared():
                worker.prepared = message
            case protocol.UsersReady():
                worker.users_ready = True
            case protocol.Broken(error):
                self.fail(f"{worker.name}, a process of the load, cannot go on: {error}")
            case protocol.Lost(reason):
                if worker.finished is None or self.totals is None:
                    self.fail(f"{worker.name}, a worker of the load, is gone: {reason}")
            case protocol.Finished():
                worker.finished = message
            case _:
                self.on_message(worker, message)
