"""`Bridge`: calls between the two threads of a process, gevent's and asyncio's."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
import gevent.event

log = logging.getLogger("harness.load")


def spawn_critical(function: Callable[..., object], *arguments: object) -> None:
    """Run it in a greenlet. If it raises, this process ends, so that the harness notices at once."""

    def end(greenlet: Any) -> None:
        log.error("a critical greenlet failed: %r", greenlet.exception)
        logging.shutdown()
        os._exit(1)

    gevent.spawn(function, *arguments).link_exception(end)


class Bridge:
    """Created in gevent's thread. The asyncio loop runs in another until the process ends."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="clients", daemon=True)
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._has_calls = gevent.event.Event()
        # The only thing of gevent's that another thread may touch.
        self._watcher = gevent.get_hub().loop.async_()
        self._watcher.start(self._has_calls.set)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def start(self) -> None:
        self._thread.start()
        spawn_critical(self._serve)

    def to_asyncio(self, function: Callable[..., object], *arguments: object) -> None:
        """Call the function in the loop's thread, soon."""
        self.loop.call_soon_threadsafe(function, *arguments)

    def to_gevent(self, function: Callable[..., object], *arguments: object) -> None:
        """Call the function in a greenlet of gevent's thread, soon and in order."""
        self._calls.append((function, arguments))
        self._watcher.send()

    def _serve(self) -> None:
        while True:
            self._has_calls.wait()
            self._has_calls.clear()
            while self._calls:
                function, arguments = self._calls.popleft()
                function(*arguments)
