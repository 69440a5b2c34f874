"""Processes that die with the one that started them (Linux: PR_SET_PDEATHSIG), and how they are identified."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from pathlib import Path

PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>."""

_libc = ctypes.CDLL(None, use_errno=True)

MARK = "HARNESS_LIVE_RUN"
"""Environment variable that every process of a live run carries: its run's directory."""


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill (SIGKILL) this process when its parent's thread that started it ends.

    `parent`: the parent's id; when that is gone already, this process ends at once.
    """
    if _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def started(pid: int) -> int | None:
    """When a process was started, in clock ticks since boot: with its id, its identity. None if it is gone.

    A process that has ended and was not waited for yet (a zombie) is gone.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # Fields after the name, which is in parentheses and may hold anything; see proc(5).
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def marked(directory: Path) -> list[int]:
    """Ids of all processes that carry the mark of this run directory, other than zombies."""
    mark = f"{MARK}={directory}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if mark in environment.split(b"\0") and started(int(entry.name)) is not None:
            found.append(int(entry.name))
    return sorted(found)


def session_of(leader: int) -> list[int]:
    """Ids of the processes in the session of that leader: itself and what it has started, unless that left."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(int(entry.name)) == leader:
                    found.append(int(entry.name))
    return sorted(found)


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return "gone"


def environment(directory: Path) -> dict[str, str]:
    """The environment for processes of this run."""
    return {**os.environ, MARK: str(directory)}
