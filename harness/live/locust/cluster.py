"""`LocustCluster`: Locust's processes, started and prepared for a run."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib.metadata import version

from harness.live.locust import protocol
from harness.live.locust.connection import LoadFailed, LocustConnection, Worker
from harness.live.options import LoadSettings
from harness.live.processes import run_environment
from harness.live.supervisor import supervised_process
from harness.live.tasks import background
from harness.live.workspace import Workspace
from harness.runtime.contract import NotReady
from harness.runtime.messages import Channel

START_S = 30.0
"""How long processes that are started here may take to get ready."""

REMOTE_START_S = 300.0
"""How long the run waits for workers that are started elsewhere."""

QUIT_S = 3.0
"""How long the processes may take to end by themselves; then they are killed."""


@asynccontextmanager
async def locust_cluster(settings: LoadSettings, workspace: Workspace) -> AsyncIterator[LocustCluster | None]:
    """The processes of a load, which end with the block; None for a load without.

    Workers that are started elsewhere are waited for here, before the run begins.
    """
    if settings.driver == "asyncio":
        yield None
        return

    names: dict[int, str] = {}

    def name_worker(key: str, hello: protocol.Hello) -> str:
        if settings.master is not None:
            return f"{hello.machine}-{hello.pid}"
        return names.get(hello.pid, key)

    own, theirs = socket.socketpair()
    with theirs:
        async with AsyncExitStack() as processes, Channel.on(protocol.SOCKET, own) as channel:
            connection = LocustConnection(channel, settings.workers, name_worker)
            async with background(connection.receive()):
                cluster = LocustCluster(workspace, settings, processes, names, connection, theirs)
                if settings.master is not None:
                    await cluster.start(run_environment(workspace.directory))
                try:
                    yield cluster
                finally:
                    if connection.totals is not None:
                        await cluster.until_ended(QUIT_S)


class LocustCluster:
    """`start`, `prepare`, then a `LocustDriver`, which uses the `connection`."""

    def __init__(
        self,
        workspace: Workspace,
        settings: LoadSettings,
        stack: AsyncExitStack,
        names: dict[int, str],
        connection: LocustConnection,
        sock: socket.socket,
    ) -> None:
        """`stack`: ends the processes. `names`: of the processes that are started here, by id. `sock`: the other end of
        the connection, for the first process."""
        self._workspace = workspace
        self._settings = settings
        self._stack = stack
        self._names = names
        self._processes: list[asyncio.subprocess.Process] = []
        self._socket = sock
        self.connection = connection

    @property
    def workers(self) -> Mapping[str, Worker]:
        return self.connection.workers

    @property
    def address(self) -> str | None:
        """Where workers on other machines reach this one; None when there are none."""
        return None if self._settings.address is None else self._settings.address[0]

    async def start(self, variables: Mapping[str, str]) -> None:
        """Start the processes with these environment variables; return when every worker is there. NotReady if not."""
        settings, connection = self._settings, self.connection
        variables = {**variables, "LOCUST_SKIP_MONKEY_PATCH": "1"}
        fd = self._socket.fileno()
        host, port = settings.address or (self._workspace.address(0), 0)
        if settings.alone:
            await self._start_process("locust", ["single", "--socket", str(fd)], variables, [fd])
        else:
            arguments = ["master", "--socket", str(fd), "--bind", host, str(port)]
            arguments += ["--workers", str(settings.workers)]
            await self._start_process("locust-master", arguments, variables, [fd])
        self._socket.close()
        if not settings.alone:
            await self._until_ready(
                START_S, lambda: connection.port is not None, lambda: "Locust's master did not start"
            )
            if settings.master is None:
                for number in range(1, settings.workers + 1):
                    arguments = ["worker", "--master", host, str(connection.port)]
                    await self._start_process(f"locust-{number}", arguments, variables)
            else:
                print(
                    f"load: waiting for {settings.workers} worker(s), each started elsewhere with\n"
                    f"  harness load worker --master {host}:{connection.port}",
                    file=sys.stderr,
                    flush=True,
                )
        await self._until_ready(
            START_S if settings.master is None else REMOTE_START_S,
            lambda: len(self.workers) >= settings.workers,
            lambda: f"{len(self.workers)} of {settings.workers} workers of the load are there",
        )
        self._check_versions()

    async def _start_process(
        self, name: str, arguments: Sequence[str], variables: Mapping[str, str], fds: Sequence[int] = ()
    ) -> None:
        """Start `harness.live.locust.process` with these arguments."""
        plugins = [word for plugin in self._settings.plugins for word in ("--plugin", plugin)]
        process = await self._stack.enter_async_context(
            supervised_process(
                self._workspace,
                name,
                "harness.live.locust.process",
                [*arguments, *plugins],
                variables=variables,
                fds=fds,
                on_exit=lambda how: self.connection.fail(f"{name}, a process of the load, {how}"),
            )
        )
        self._names[process.pid] = name
        self._processes.append(process)

    async def until_ended(self, limit_s: float) -> None:
        """Return when all processes have ended by themselves, or after the time limit."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await asyncio.gather(*(process.wait() for process in self._processes))

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
            self.connection.send(
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
        self.connection.send("", protocol.StartUsers())
        await self._until_all("start users", lambda worker: worker.users_ready)

    async def _until_all(self, what: str, holds: Callable[[Worker], bool]) -> None:
        await self._until_ready(
            START_S,
            lambda: all(map(holds, self.workers.values())),
            lambda: ", ".join(w.name for w in self._in_order() if not holds(w)) + f" did not {what}",
        )

    def _in_order(self) -> list[Worker]:
        return sorted(self.workers.values(), key=lambda worker: worker.name)

    async def _until_ready(
        self, limit_s: float, holds: Callable[[], bool], describe: Callable[[], str]
    ) -> None:
        try:
            ready = await self.connection.until(limit_s, holds)
        except LoadFailed as error:
            raise NotReady(str(error)) from error
        if not ready:
            raise NotReady(f"the load is not ready after {limit_s:g} s: {describe()}")
