"""`Bridge`: two real threads of one process, gevent's and asyncio's, and the ways between them."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
import gevent.event


class Bridge:
    """Made in gevent's thread. The asyncio loop runs in another until `stop`."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="clients", daemon=True)
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._some = gevent.event.Event()
        # The one thing of gevent's that another thread may touch.
        self._watcher = gevent.get_hub().loop.async_()
        self._watcher.start(self._some.set)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def start(self) -> None:
        self._thread.start()
        gevent.spawn(self._serve)

    def to_asyncio(self, call: Callable[..., object], *arguments: object) -> None:
        """Have `call` called in the loop's thread, soon."""
        self.loop.call_soon_threadsafe(call, *arguments)

    def to_gevent(self, call: Callable[..., object], *arguments: object) -> None:
        """Have `call` called in a greenlet of gevent's thread, soon and in the order of the calls of this."""
        self._calls.append((call, arguments))
        self._watcher.send()

    def _serve(self) -> None:
        while True:
            self._some.wait()
            self._some.clear()
            while self._calls:
                call, arguments = self._calls.popleft()
                call(*arguments)

    def stop(self) -> None:
        """End the loop's thread; what its tasks were doing is dropped."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5.0)
