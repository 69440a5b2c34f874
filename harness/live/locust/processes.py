"""`LocustProcesses`: the processes of Locust on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from harness.live.supervisor import supervised_process
from harness.live.tasks import background
from harness.live.workspace import Workspace

type OnExit = Callable[[str], None]
"""Called with a description of a process that ended before the block did."""


@asynccontextmanager
async def locust_processes(
    workspace: Workspace, plugins: Sequence[str], on_exit: OnExit
) -> AsyncIterator[LocustProcesses]:
    """All of them are killed at the end of the block. `plugins`: modules that they import."""
    async with AsyncExitStack() as stack:
        yield LocustProcesses(workspace, plugins, on_exit, stack)


class LocustProcesses:
    def __init__(
        self, workspace: Workspace, plugins: Sequence[str], on_exit: OnExit, stack: AsyncExitStack
    ) -> None:
        self._workspace = workspace
        self._options = [word for plugin in plugins for word in ("--plugin", plugin)]
        self._on_exit = on_exit
        self._stack = stack
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    async def start(
        self, name: str, arguments: Sequence[str], variables: Mapping[str, str], fds: Sequence[int] = ()
    ) -> None:
        """Start `harness.live.locust.process` with these arguments. `variables`: of its environment."""
        process = self._processes[name] = await self._stack.enter_async_context(
            supervised_process(
                self._workspace,
                name,
                "harness.live.locust.process",
                [*arguments, *self._options],
                variables=variables,
                fds=fds,
            )
        )
        await self._stack.enter_async_context(background(self._watch(name, process)))

    async def _watch(self, name: str, process: asyncio.subprocess.Process) -> None:
        status = await process.wait()
        log = self._workspace.log_tail(name)
        self._on_exit(f"{name}, a process of the load, ended (status {status})\n{log}".rstrip())

    def name_of(self, pid: int) -> str | None:
        return next((name for name, process in self._processes.items() if process.pid == pid), None)

    async def wait(self, limit_s: float) -> None:
        """Return when all have ended by themselves, or after the time limit."""
        running = [asyncio.create_task(process.wait()) for process in self._processes.values()]
        if running:
            await asyncio.wait(running, timeout=limit_s)
        for task in running:
            task.cancel()
