"""Starting processes of a run that die with the harness, and ending them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from harness.live.processes import run_environment
from harness.live.resources import Process
from harness.live.tasks import background
from harness.live.workspace import Workspace


@asynccontextmanager
async def supervised_process(
    workspace: Workspace,
    name: str,
    module: str,
    arguments: Sequence[str],
    *,
    variables: Mapping[str, str] | None = None,
    fds: Sequence[int] = (),
    stdout: int | None = None,
    on_exit: Callable[[str], None] = lambda _: None,
    ends_itself: bool = False,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a Python module in a process of its own session; it is killed at the end of the block.

    `variables`: of its environment, beside those of every process of the run. `stdout`: as for
    `asyncio.create_subprocess_exec`; its log if not given. `on_exit` is called with the status and the end of the log
    when the process ends before the block. `ends_itself`: it does not die with the harness, but has work left then.
    """
    supervisor = () if ends_itself else ("harness.live.supervised", str(os.getpid()))
    with workspace.log(name) as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", *supervisor, module, *arguments),
            pass_fds=fds,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log if stdout is None else stdout,
            stderr=log,
            env={**run_environment(workspace.directory, ends_itself=ends_itself), **(variables or {})},
            start_new_session=True,
        )
    try:
        workspace.ledger.add(Process.of(process.pid, name))

        async def watch() -> None:
            status = await process.wait()
            on_exit(f"ended (status {status})\n{workspace.log_tail(name)}".rstrip())

        async with background(watch()):
            yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        transport = getattr(process, "_transport", None)
        if transport is not None:
            transport.close()
