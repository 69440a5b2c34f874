"""Descriptors: how many connections may have, so that the last ones stay for the API, files and new proxies."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Callable

DESCRIPTORS = 2
"""Of a connection: taken for it before it is accepted."""

_MAX_RESERVE = 128
_MIN_CONNECTIONS = 8  # descriptors: whatever the limit is, some clients are served


def raise_limit() -> None:
    """Raise this process's soft limit of open files to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Descriptors:
    """The descriptors that the connections of a server share; `limit` is the process's soft limit if not given."""

    def __init__(self, limit: int | None = None) -> None:
        if limit is None:
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            limit = 1 << 30 if limit == resource.RLIM_INFINITY else limit
        self.reserve = min(_MAX_RESERVE, limit // 4)
        """Those that connections leave alone."""
        self.free = self._capacity = max(_MIN_CONNECTIONS, limit - self.reserve - _open_descriptors())
        self._waiting: list[Callable[[], object]] = []

    @property
    def max_api_connections(self) -> int:
        return max(4, self.reserve // 2)

    def take(self, number: int) -> bool:
        """Take so many if they are free."""
        if self.free < number:
            return False
        self.free -= number
        return True

    def take_spare(self, number: int) -> bool:
        """Take so many for what can do without, while at least half of all are free."""
        return self.free > self._capacity // 2 and self.take(number)

    def give_back(self, number: int) -> None:
        self.free += number
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()

    def when_free(self, call: Callable[[], object]) -> None:
        """Call once when some are free again."""
        self._waiting.append(call)


def _open_descriptors() -> int:
    for directory in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return len(os.listdir(directory))
    return 32
