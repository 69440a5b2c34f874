"""Open files: every connection of a live run is several, in the harness, its proxies and its nodes."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

from harness.live.ledger import NoSlot

FILES_MOST = 65_536
FILES_LEAST = 1024
"""What a run with a hundred clients comes to."""


@contextmanager
def open_files() -> Iterator[int]:
    """For the time of the block as many as this user may have, for processes that are started in it, too.

    NoSlot where that are too few.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    may = FILES_MOST if hard == resource.RLIM_INFINITY else min(hard, FILES_MOST)
    most = max(may, soft) if soft != resource.RLIM_INFINITY else FILES_MOST
    if most < FILES_LEAST:
        raise NoSlot(
            f"at most {most} open files are allowed here (the hard limit); a live run needs {FILES_LEAST}: raise it "
            "(ulimit -Hn, /etc/security/limits.conf)"
        )
    if soft in (resource.RLIM_INFINITY, most):
        yield most
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield most
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
