"""`python -m harness.live.watchdog STATE SLOT`: waits until its harness is gone, and then cleans the slot.

The kernel kills what the harness has started (PR_SET_PDEATHSIG), but not what that has started in turn, and it
removes neither files nor control groups. So a process of its own session reads from a pipe whose other end only the
harness has: whatever kills the harness, it ends. A harness that comes to its own end stops its warden first.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep  # noqa: TID251 (it waits for another process's end)

LOCK_S = 10.0
"""How long the kernel may take to drop the hold of a dead harness, which may have been forking."""


class Warden:
    """One that watches over this process from now on, until it is dismissed."""

    def __init__(self, state: Path, slot: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.live.watchdog", str(state), str(slot)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._dismissed = False

    def dismiss(self) -> None:
        """There is nothing left for it to do."""
        self._dismissed = True
        self._process.kill()
        self._process.wait()
        self._close()

    def release(self) -> None:
        """At the end, however it came: unless dismissed, it cleans as soon as nobody holds the slot any more."""
        if not self._dismissed:
            _at_work.append(self._process)
            self._close()

    def _close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()


_at_work: list[subprocess.Popen[bytes]] = []
"""Not waited for: they wait for us to let the slot go."""


@contextmanager
def watched(state: Path, slot: int) -> Iterator[Warden]:
    """Have a warden watch over this process for as long as the block takes, and after it unless dismissed."""
    warden = Warden(state, slot)
    try:
        yield warden
    finally:
        warden.release()


def main(state: Path, slot: int) -> None:
    """Return when the slot is clean, or held by somebody else, who has cleaned it."""
    from harness.live.ledger import clean_free_slot

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    deadline = monotonic() + LOCK_S
    while not clean_free_slot(state, slot) and monotonic() < deadline:
        sleep(0.01)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
