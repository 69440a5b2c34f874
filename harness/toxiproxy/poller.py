"""Which sockets are ready: one epoll of our own, which the event loop watches as a single descriptor.

Watching a socket with an event loop costs an object and a scheduled call for every event, which for short connections
is more than the relay itself.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Any, Protocol

type Callback = Callable[[], object]

_select: Any = select  # epoll exists on Linux only
_MAX_EVENTS = 256
_IN, _OUT = 1, 4  # of epoll_ctl(2)


class Poller(Protocol):
    """What relays need; an event loop has it too."""

    def add_reader(self, fd: int, callback: Callback) -> object: ...
    def remove_reader(self, fd: int) -> bool: ...
    def add_writer(self, fd: int, callback: Callback) -> object: ...
    def remove_writer(self, fd: int) -> bool: ...


class EpollPoller:
    """Calls back in the turn of the loop in which a socket is ready. `close` it, or it leaks a descriptor."""

    available = hasattr(select, "epoll")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = _select.epoll()
        self._readers: dict[int, Callback] = {}
        self._writers: dict[int, Callback] = {}
        loop.add_reader(self._epoll.fileno(), self._dispatch)

    def add_reader(self, fd: int, callback: Callback) -> None:
        known = fd in self._readers
        self._readers[fd] = callback
        if not known:
            self._watch(fd, fd in self._writers)

    def remove_reader(self, fd: int) -> bool:
        if self._readers.pop(fd, None) is None:
            return False
        self._ignore(fd)
        return True

    def add_writer(self, fd: int, callback: Callback) -> None:
        known = fd in self._writers
        self._writers[fd] = callback
        if not known:
            self._watch(fd, fd in self._readers)

    def remove_writer(self, fd: int) -> bool:
        if self._writers.pop(fd, None) is None:
            return False
        self._ignore(fd)
        return True

    def close(self) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _mask(self, fd: int) -> int:
        return (_IN if fd in self._readers else 0) | (_OUT if fd in self._writers else 0)

    def _watch(self, fd: int, known: bool) -> None:
        if known:
            self._epoll.modify(fd, self._mask(fd))
        else:
            self._epoll.register(fd, self._mask(fd))

    def _ignore(self, fd: int) -> None:
        mask = self._mask(fd)
        if mask:
            self._epoll.modify(fd, mask)
        else:
            self._epoll.unregister(fd)

    def _dispatch(self) -> None:
        # A callback may close sockets whose events are still to come, and others may get their numbers: callbacks
        # bear being called although nothing is ready.
        for fd, events in self._epoll.poll(0, _MAX_EVENTS):
            for callbacks, wanted in ((self._readers, ~_OUT), (self._writers, ~_IN)):
                callback = callbacks.get(fd)
                if callback is not None and events & wanted:
                    try:
                        callback()
                    except Exception as error:
                        self._loop.call_exception_handler(
                            {"message": f"callback of descriptor {fd} failed", "exception": error}
                        )


def poller_of(loop: asyncio.AbstractEventLoop) -> EpollPoller | asyncio.AbstractEventLoop:
    """The cheapest poller that there is for this loop."""
    return EpollPoller(loop) if EpollPoller.available else loop
