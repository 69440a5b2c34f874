"""`LocustCluster`: the processes of a Locust load, from the harness's side."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Protocol

from harness.faults.primitives import HostIdentity
from harness.live.locust import protocol as words
from harness.live.messages import Address
from harness.live.options import LoadSettings
from harness.live.processes import run_environment
from harness.live.resources import Process
from harness.live.workspace import Workspace
from harness.runtime.contract import NotReady
from harness.runtime.journal import Journal
from harness.runtime.unhandled import describe_error
from harness.system import Access, Clock

BEGIN_S = 30.0
"""How long processes of the load that are started here may take to begin."""

REMOTE_S = 300.0
"""How long workers that somebody starts elsewhere are waited for."""

TOTALS_S = 8.0
"""How long Locust's sums are waited for."""

SILENT_S = 10.0
"""A process of the load that has said nothing for so long hangs: it says that it is alive once a second."""

QUIT_S = 3.0
"""How long the processes may take to end by themselves; then they are killed."""

REASON_S = 5.0
"""Once the line is cut: how long it may take until it is known why."""


class LoadLost(RuntimeError):
    """A process of the load is gone, or cannot go on: what its clients did is not known in full."""


class Stage(Protocol):
    """The started system as the load needs it: a `LiveSession`."""

    @property
    def clock(self) -> Clock: ...
    @property
    def journal(self) -> Journal: ...
    @property
    def attempts(self) -> Counter[str]: ...
    @property
    def safeguards(self) -> Mapping[str, bool]: ...
    @property
    def origin_s(self) -> float: ...

    def came(self, peer: HostIdentity, access: Access) -> None: ...
    async def gone(self, peer: HostIdentity) -> None: ...
    async def route(self, peer: HostIdentity, name: str, port: int) -> Sequence[Address]: ...


@dataclass(slots=True)
class Worker:
    """A process that clients live in. `key`: Locust's name of it."""

    key: str
    name: str
    hello: words.Hello
    prepared: words.Prepared | None = None
    standing: bool = False
    finished: words.Finished | None = None
    attempts: Mapping[str, int] = field(default_factory=dict)
    heard_s: float = 0.0
    """When it last said anything, by the loop's time."""


def refuse_without_locust() -> str | None:
    """Why there can be no Locust load here; None when there can."""
    if find_spec("locust") is None:
        return (
            "--load locust: Locust is not installed; install the extra 'load' "
            "(pip install 'streaming-resilience-harness[load]'), or use --load asyncio"
        )
    return None


@asynccontextmanager
async def locust_cluster(settings: LoadSettings, workspace: Workspace) -> AsyncIterator[LocustCluster | None]:
    """The processes of a load, all gone at the end of the block; None for a load that needs none.

    Workers that people start elsewhere are waited for here, before the run has begun.
    """
    if settings.driver == "asyncio":
        yield None
        return
    crew = LocustCluster(workspace, settings)
    try:
        if settings.master is not None:
            await crew.gather(run_environment(workspace.directory))
        yield crew
    finally:
        await crew.end()


class LocustCluster:
    """`gather`, `prepare`, a `LocustDriver`, `end`."""

    def __init__(self, workspace: Workspace, settings: LoadSettings) -> None:
        self._workspace = workspace
        self._settings = settings
        self._environment: dict[str, str] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._watching: list[asyncio.Task[None]] = []
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        self._port: asyncio.Future[int] = loop.create_future()
        self._changed = asyncio.Event()
        self._ending = False
        self.broken: asyncio.Future[str] = loop.create_future()
        """Done, with the reason, when the load cannot go on."""
        self.workers: dict[str, Worker] = {}
        self.totals: words.Totals | None = None
        self.hear: Callable[[Worker, Any], None] = lambda worker, message: None

    @property
    def address(self) -> str | None:
        """Where workers on other machines reach this one; None when there are none."""
        return None if self._settings.address is None else self._settings.address[0]

    # ------------------------------------------------------------------ life

    async def gather(self, environment: Mapping[str, str]) -> None:
        """Start what is to be started here, in this environment, and wait until every process has said hello.
        NotReady if not."""
        settings = self._settings
        self._environment = {**environment, "LOCUST_SKIP_MONKEY_PATCH": "1"}
        own, theirs = socket.socketpair()
        line = str(theirs.fileno())
        host, port = settings.address or (self._workspace.address(0), 0)
        with theirs:
            if settings.alone:
                await self._spawn("locust", ["alone", "--line", line], theirs.fileno())
            else:
                arguments = ["master", "--line", line, "--bind", host, str(port)]
                arguments += ["--workers", str(settings.workers)]
                await self._spawn("locust-master", arguments, theirs.fileno())
        reader, self._writer = await asyncio.open_connection(sock=own)
        self._reading = asyncio.ensure_future(self._read(reader))
        if not settings.alone:
            port = await self._within(BEGIN_S, self._port, "Locust's master did not begin")
            if settings.master is None:
                for number in range(1, settings.workers + 1):
                    await self._spawn(f"locust-{number}", ["worker", "--master", host, str(port)])
            else:
                print(
                    f"load: waiting for {settings.workers} worker(s), each started elsewhere with\n"
                    f"  harness load worker --master {host}:{port}",
                    file=sys.stderr,
                    flush=True,
                )
        limit_s = BEGIN_S if settings.master is None else REMOTE_S
        await self._until(
            limit_s,
            lambda: len(self.workers) >= settings.workers,
            lambda: f"{len(self.workers)} of {settings.workers} workers of the load have come",
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

    async def prepare(self, stage: Stage, reference: str, seed: int) -> None:
        """Have every process load the system and users stand by. NotReady if not."""
        for number, worker in enumerate(self._in_order()):
            self.send(
                worker.key,
                words.Prepare(
                    name=worker.name,
                    number=number,
                    workers=len(self.workers),
                    reference=reference,
                    seed=seed,
                    safeguards=dict(stage.safeguards),
                    origin_s=stage.origin_s,
                ),
            )
        await self._until_all("have loaded the system", lambda worker: worker.prepared is not None)
        self.send("", words.Stand())
        await self._until_all("have users that stand by", lambda worker: worker.standing)

    def _in_order(self) -> list[Worker]:
        return sorted(self.workers.values(), key=lambda worker: worker.name)

    async def _until_all(self, what: str, holds: Callable[[Worker], bool]) -> None:
        await self._until(
            BEGIN_S,
            lambda: all(map(holds, self.workers.values())),
            lambda: ", ".join(w.name for w in self._in_order() if not holds(w)) + f" did not: {what}",
        )

    async def _until(self, limit_s: float, holds: Callable[[], bool], said: Callable[[], str]) -> None:
        async def wait() -> None:
            while not holds():
                self._changed.clear()
                await self._changed.wait()

        waiting = asyncio.ensure_future(wait())
        try:
            await self._within(limit_s, waiting, said)
        finally:
            waiting.cancel()

    async def _within[T](self, limit_s: float, wanted: asyncio.Future[T], said: str | Callable[[], str]) -> T:
        """What is wanted; NotReady when a process breaks before, or when it takes too long."""
        either: set[asyncio.Future[Any]] = {wanted, self.broken}
        await asyncio.wait(either, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if self.broken.done():
            raise NotReady(self.broken.result())
        if not wanted.done():
            what = said if isinstance(said, str) else said()
            raise NotReady(f"the load is not ready after {limit_s:g} s: {what}")
        return wanted.result()

    async def end(self) -> None:
        """Every process that was started here is gone when this returns."""
        self._ending = True
        running = [process for process in self._processes.values() if process.returncode is None]
        if running and self.totals is not None:
            await asyncio.wait([asyncio.ensure_future(process.wait()) for process in running], timeout=QUIT_S)
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        for process in self._processes.values():
            await process.wait()
            transport = getattr(process, "_transport", None)
            if transport is not None:
                transport.close()
        for task in (*self._watching, *([self._reading] if self._reading else [])):
            task.cancel()
        if self._writer is not None:
            self._writer.close()

    async def _spawn(self, name: str, arguments: Sequence[str], *fds: int) -> None:
        with self._workspace.log(name) as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "harness.live.supervised", str(os.getpid()), "harness.live.locust.process"),
                *arguments,
                *(word for plugin in self._settings.plugins for word in ("--plugin", plugin)),
                pass_fds=fds,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        self._workspace.ledger.add(Process.of(process.pid, name))
        self._processes[name] = process
        self._watching.append(asyncio.ensure_future(self._watch(name, process)))

    async def _watch(self, name: str, process: asyncio.subprocess.Process) -> None:
        status = await process.wait()
        if not self._ending and self.totals is None:
            self.broke(
                f"{name}, a process of the load, ended (status {status})\n{self._workspace.log_tail(name)}".rstrip()
            )

    def broke(self, why: str) -> None:
        if not self.broken.done():
            self.broken.set_result(why)

    # ------------------------------------------------------------------ the line

    def send(self, worker: str, *messages: object) -> None:
        """To a worker, by Locust's name of it; to the master with ''."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(words.frame(worker, words.pack(messages)))

    def send_all(self, *messages: object) -> None:
        for key in self.workers:
            self.send(key, *messages)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        key = ""
        try:
            while (found := await words.receive(reader)) is not None:
                key, batch = found
                for message in words.unpack(batch):
                    self._heard(key, message)
        except Exception as error:  # it may come from another machine, and be anything
            self.broke(
                f"a process of the load ({self._name(key)}) said what is not understood: {describe_error(error)}"
            )
        if not self._ending and self.totals is None:
            # Most likely the process at its other end is gone, and it is better known why.
            await asyncio.wait({self.broken}, timeout=REASON_S)
            self.broke("the line to the load is cut")

    def _name(self, key: str) -> str:
        worker = self.workers.get(key)
        return worker.name if worker is not None else key or "the master"

    def _heard(self, key: str, message: Any) -> None:
        match message:
            case words.Listening(port):
                if not self._port.done():
                    self._port.set_result(port)
            case words.Totals():
                self.totals = message
            case words.Hello():
                self._hello(key, message)
            case _ if (worker := self.workers.get(key)) is not None:
                worker.heard_s = asyncio.get_running_loop().time()
                self._said(worker, message)
        self._changed.set()

    def _hello(self, key: str, hello: words.Hello) -> None:
        if self._ending or self.totals is not None:
            return  # it has come for the next run
        by_pid = {process.pid: name for name, process in self._processes.items()}
        if self._settings.master is None:
            name = by_pid.get(hello.pid, key)
        else:
            name = f"{hello.machine}-{hello.pid}"
        if len(self.workers) >= self._settings.workers:
            self.broke(f"one worker more than were announced has come: {name}")
            return
        self.workers[key] = Worker(key, name, hello)

    def _said(self, worker: Worker, message: Any) -> None:
        match message:
            case words.Prepared():
                worker.prepared = message
            case words.Standing():
                worker.standing = True
            case words.Broken(error):
                self.broke(f"{worker.name}, a process of the load, cannot go on: {error}")
            case words.Lost(why):
                if worker.finished is None or self.totals is None:
                    self.broke(f"{worker.name}, a worker of the load, is gone: {why}")
            case words.Finished():
                worker.finished = message
            case _:
                self.hear(worker, message)

    async def sum_up(self) -> None:
        """Let Locust end, and get its sums."""
        requests = sum(w.finished.requests for w in self.workers.values() if w.finished is not None)
        self.send("", words.End(requests))
        with contextlib.suppress(NotReady):
            await self._until(TOTALS_S, lambda: self.totals is not None, lambda: "Locust told no sums")

    async def all_finished(self) -> None:
        """Returns when no process has clients any more, and none will have. LoadLost when one breaks before."""
        while not all(worker.finished is not None for worker in self.workers.values()):
            self._changed.clear()
            changed = asyncio.ensure_future(self._changed.wait())
            try:
                either: set[asyncio.Future[Any]] = {changed, self.broken}
                await asyncio.wait(either, timeout=SILENT_S, return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
            silent_since_s = asyncio.get_running_loop().time() - SILENT_S
            for worker in self.workers.values():
                if worker.finished is None and worker.heard_s < silent_since_s:
                    self.broke(f"{worker.name}, a process of the load, has said nothing for {SILENT_S:g} s")
            if self.broken.done():
                raise LoadLost(self.broken.result())
