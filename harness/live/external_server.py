"""`ExternalServer`: stands where `ProxyServer` does when proxies are made on another Toxiproxy server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from harness.faults.primitives import FaultFailed
from harness.live.external_proxies import unfit
from harness.live.ledger import Lease
from harness.live.vanilla_toxiproxy import VanillaToxiproxyApi
from harness.runtime.contract import NotReady

WATCH_S = 1.0
"""Between two looks whether it is still there."""


class ExternalServer:
    """`prefix`: what the names of our proxies begin with. `died` is called with the reason when it answers no more:
    nothing that clients see is the system's doing then.
    """

    def __init__(self, lease: Lease, url: str, prefix: str, died: Callable[[str], None]) -> None:
        self._lease = lease
        self._url = url.rstrip("/")
        self._prefix = prefix
        self._died = died
        self._watching: asyncio.Task[None] | None = None

    async def start(self, environment: Mapping[str, str] | None = None) -> str:
        """Write down what will have to be undone; returns the URL. NotReady when no such server is there."""
        if problem := await asyncio.to_thread(unfit, self._url):
            raise NotReady(problem)
        self._lease.proxies(self._url, self._prefix)
        self._watching = asyncio.ensure_future(self._watch())
        return self._url

    async def _watch(self) -> None:
        api = VanillaToxiproxyApi(self._url)
        try:
            while True:
                await asyncio.sleep(WATCH_S)
                await api.version()
        except FaultFailed as error:
            self._died(str(error))
        finally:
            await api.close()

    async def end(self) -> None:
        """It goes on without us. Our proxies are removed with the slot, as after a harness that was killed."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
