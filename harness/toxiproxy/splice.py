"""Bulk transfer inside the kernel: socket to pipe to socket, without copying into this process (Linux).

While no toxic looks at the data, a direction that keeps filling its read buffer is moved with splice(2).
"""

from __future__ import annotations

import contextlib
import fcntl
import os

PIPE_BYTES = 1 << 20
"""Size asked for the pipe. The kernel may give less (/proc/sys/fs/pipe-user-pages-soft): only speed suffers."""

AVAILABLE = hasattr(os, "splice")

_FLAGS = getattr(os, "SPLICE_F_NONBLOCK", 0) | getattr(os, "SPLICE_F_MOVE", 0)


class Splice:
    """One pipe. `close` it, or it leaks two descriptors. Raises OSError when none is to be had."""

    def __init__(self) -> None:
        self._out, self._in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.held_bytes = 0
        with contextlib.suppress(OSError):  # without the privilege the pipe keeps its 64 KiB
            fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def fill(self, fd: int) -> int:
        """Take from a socket; the number of bytes, 0 at its end. Raises BlockingIOError when there are none."""
        taken = os.splice(fd, self._in, PIPE_BYTES, flags=_FLAGS)
        self.held_bytes += taken
        return taken

    def drain(self, fd: int) -> bool:
        """Give to a socket; True when nothing is left, False when the socket takes no more for now."""
        while self.held_bytes:
            try:
                self.held_bytes -= os.splice(self._out, fd, self.held_bytes, flags=_FLAGS)
            except (BlockingIOError, InterruptedError):
                return False
        return True

    def close(self) -> None:
        os.close(self._out)
        os.close(self._in)
