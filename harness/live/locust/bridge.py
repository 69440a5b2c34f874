"""`Bridge`: two real threads of one process, gevent's and asyncio's, and the ways between them."""

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


def vital(life: Callable[..., object], *arguments: object) -> None:
    """Run it in a greenlet; when it raises, this process ends, and the harness hears of it at once."""

    def end(greenlet: Any) -> None:
        log.error("a vital greenlet broke: %r", greenlet.exception)
        logging.shutdown()
        os._exit(1)

    gevent.spawn(life, *arguments).link_exception(end)


class Bridge:
    """Made in gevent's thread. The asyncio loop runs in another until the process ends."""

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
        vital(self._serve)

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
