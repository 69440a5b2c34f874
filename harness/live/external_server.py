"""An external Toxiproxy server, in place of the embedded one, for the time of a run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from harness.faults.primitives import FaultFailed
from harness.live.external_proxies import server_problem
from harness.live.resources import ExternalProxies
from harness.live.tasks import background
from harness.live.toxiproxy import ToxiproxyApi
from harness.live.workspace import Workspace
from harness.runtime.contract import NotReady

WATCH_S = 1.0
"""Between two checks that the server still answers."""


@asynccontextmanager
async def external_server(
    workspace: Workspace, url: str, prefix: str, died: Callable[[str], None]
) -> AsyncIterator[str]:
    """The URL of its API. NotReady when no Toxiproxy server answers there.

    `prefix`: of the names of our proxies, which are removed when the workspace is cleaned. `died` is called with the
    reason when the server stops answering: whatever clients see then is not the system's doing.
    """
    url = url.rstrip("/")
    if problem := await asyncio.to_thread(server_problem, url):
        raise NotReady(problem)
    workspace.ledger.add(ExternalProxies(url=url, prefix=prefix))
    async with background(_watch(url, died)):
        yield url


async def _watch(url: str, died: Callable[[str], None]) -> None:
    async with ToxiproxyApi(url) as api:
        try:
            while True:
                await asyncio.sleep(WATCH_S)
                await api.version()
        except FaultFailed as error:
            died(str(error))
