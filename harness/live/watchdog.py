"""`python -m harness.live.watchdog STATE RUN`: wait until the harness has ended, then clean its run.

The kernel kills what the harness started (PR_SET_PDEATHSIG), but not the children of those processes, and it removes
neither files nor control groups. So a process of its own session reads from a pipe whose other end only the harness
holds: the pipe ends in whichever way the harness ends. A harness that ends by itself stops its watchdog first.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep  # noqa: TID251 (it waits for the end of another process)

from harness.live.cleanup import clean_free_run

LOCK_S = 10.0
"""How long the kernel may take to release the lock of a dead harness, which may have been forking."""


class Watchdog:
    """It watches this process until it is dismissed."""

    def __init__(self, state: Path, run: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.live.watchdog", str(state), str(run)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._dismissed = False

    def dismiss(self) -> None:
        """The run is clean: end the watchdog."""
        self._dismissed = True
        self._process.kill()
        self._process.wait()
        self._close()

    def release(self) -> None:
        """Unless it is dismissed, it cleans the run as soon as the lock is free."""
        if not self._dismissed:
            _cleaning.append(self._process)
            self._close()

    def _close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()


_cleaning: list[subprocess.Popen[bytes]] = []
"""Not waited for: they wait for this process to release its lock."""


@contextmanager
def watchdog(state: Path, run: int) -> Iterator[Watchdog]:
    """A watchdog for the time of the block, and after it unless it is dismissed."""
    watching = Watchdog(state, run)
    try:
        yield watching
    finally:
        watching.release()


def main(state: Path, run: int) -> None:
    """Return when the run is clean, or when another process holds its lock and has cleaned it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    deadline = monotonic() + LOCK_S
    while not clean_free_run(state, run) and monotonic() < deadline:
        sleep(0.01)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
