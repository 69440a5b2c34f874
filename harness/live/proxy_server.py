"""The embedded Toxiproxy-compatible server, in a process of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from harness.live.supervisor import supervised_process
from harness.live.tasks import background
from harness.live.workspace import Workspace
from harness.runtime.contract import NotReady

START_S = 30.0
"""How long the server may take to start."""


@asynccontextmanager
async def proxy_server(
    workspace: Workspace,
    seed: int,
    died: Callable[[str], None] = lambda _: None,
    variables: Mapping[str, str] | None = None,
) -> AsyncIterator[str]:
    """The URL of its API. NotReady when it does not start. `variables`: of its environment.

    `died` is called with the reason when it ends before the block: whatever clients see then is not the system's
    doing.
    """
    arguments = ("serve", "--host", workspace.address(0), "--port", "0", "--seed", str(seed))
    async with supervised_process(
        workspace,
        "proxies",
        "harness.toxiproxy",
        arguments,
        variables={"LOG_LEVEL": "warn", **(variables or {})},
        stdout=asyncio.subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_S):
                line = await process.stdout.readline()
        except TimeoutError:
            line = b""
        if not line:
            raise NotReady(f"the proxy server did not start\n{workspace.log_tail('proxies')}".rstrip())

        async def watch() -> None:
            status = await process.wait()
            died(f"the proxy server ended (status {status})\n{workspace.log_tail('proxies')}".rstrip())

        async with background(watch()):
            yield str(json.loads(line)["api"])
