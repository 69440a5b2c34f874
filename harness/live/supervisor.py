"""Starting processes of a run that die with the harness, and ending them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from harness.live.processes import run_environment
from harness.live.resources import Process
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
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a Python module in a process of its own session; it is killed at the end of the block.

    `variables`: of its environment, beside those of every process of the run. `stdout`: as for
    `asyncio.create_subprocess_exec`; its log if not given.
    """
    with workspace.log(name) as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "harness.live.supervised", str(os.getpid()), module, *arguments),
            pass_fds=fds,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log if stdout is None else stdout,
            stderr=log,
            env={**run_environment(workspace.directory), **(variables or {})},
            start_new_session=True,
        )
    try:
        workspace.ledger.add(Process.of(process.pid, name))
        yield process
    finally:
        await end_process(process)


async def end_process(process: asyncio.subprocess.Process) -> None:
    """SIGKILL; returns when the process is gone."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()
