"""Open files: every connection of a live run is several, in the harness, its proxies and its nodes."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

from harness.live.run_lock import LiveUnavailable

MAX_FILES = 65_536
MIN_FILES = 1024
"""A run with a hundred clients needs about so many."""


@contextmanager
def open_files() -> Iterator[int]:
    """Raise the limit to what this user may have, for the time of the block and for processes started in it.

    LiveUnavailable where these are too few.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    limit = max(allowed, soft) if soft != resource.RLIM_INFINITY else MAX_FILES
    if limit < MIN_FILES:
        raise LiveUnavailable(
            f"at most {limit} open files are allowed here (the hard limit); a live run needs {MIN_FILES}: raise it "
            "(ulimit -Hn, /etc/security/limits.conf)"
        )
    if soft in (resource.RLIM_INFINITY, limit):
        yield limit
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield limit
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
