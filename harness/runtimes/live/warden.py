"""`python -m harness.runtimes.live.warden STATE SLOT`: waits until its harness is gone, and then cleans the slot.

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


@contextmanager
def watched(state: Path, slot: int) -> Iterator[None]:
    """Have a warden watch over this process for as long as the block takes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.runtimes.live.warden", str(state), str(slot)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with process:
        try:
            yield
        finally:
            # Before its end of the pipe is closed: there is nothing for it to do.
            process.kill()


def main(state: Path, slot: int) -> None:
    """Return when the slot is clean, or held by somebody else, who has cleaned it."""
    from harness.runtimes.live.lease import clean_free_slot

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    deadline = monotonic() + LOCK_S
    while not clean_free_slot(state, slot) and monotonic() < deadline:
        sleep(0.01)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
