"""Identity of processes: which belong to a run, and whether an id still means the same process."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

MARK = "HARNESS_LIVE_RUN"
"""Environment variable that every process of a live run carries: its run's directory."""

ENDS_ITSELF = "HARNESS_LIVE_ENDS_ITSELF"
"""Environment variable of a process that sees the end of the harness and has work left to do before it ends."""

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def run_environment(directory: Path, *, ends_itself: bool = False) -> dict[str, str]:
    """The environment for processes of the run with this directory."""
    return {**os.environ, MARK: str(directory), **({ENDS_ITSELF: "1"} if ends_itself else {})}


def started(pid: int) -> int | None:
    """When a process was started, in clock ticks since boot: with its id, its identity. None if it has ended.

    A process that has ended but was not waited for yet (a zombie) has ended.
    """
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        # Since boot, because the time of day may be set while the process runs.
        return round((process.create_time() - psutil.boot_time()) * CLOCK_TICKS)
    except psutil.NoSuchProcess:
        return None


def command(pid: int) -> str:
    """The command line of a process; `ended` if there is none."""
    try:
        return " ".join(psutil.Process(pid).cmdline()).strip()
    except psutil.NoSuchProcess:
        return "ended"
    except psutil.AccessDenied:
        return "of another user"


def environment_of(pid: int) -> dict[str, str]:
    """The environment that a process was started with; empty if it has ended, is a zombie, or of another user."""
    try:
        return psutil.Process(pid).environ()
    except psutil.Error:
        return {}


def marked(directory: Path) -> list[int]:
    """Ids of all processes that carry the mark of the run with this directory, other than zombies."""
    return [pid for pid in psutil.pids() if environment_of(pid).get(MARK) == str(directory)]


def session_of(leader: int) -> list[int]:
    """Ids of the processes in the session of that leader: itself and its descendants that did not leave."""
    return [pid for pid in psutil.pids() if _session(pid) == leader]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def inhabitants(namespaces: set[int]) -> list[int]:
    """Processes that are in one of these network namespaces (inodes), by their main threads."""
    return [pid for pid in psutil.pids() if _namespace_of(pid) in namespaces]


def _namespace_of(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:  # it has just ended, or is a zombie
        return None
