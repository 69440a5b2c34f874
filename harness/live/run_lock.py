"""The lock that a live run holds: its number, its loopback addresses, and its places in the state directory."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self

import psutil

from harness.errors import EXIT_USAGE, HarnessError
from harness.live.processes import command, environment_of

STATE_VARIABLE = "HARNESS_LIVE_STATE"

FIRST, LAST = 64, 127
"""Numbers of runs: the second number of their loopback addresses."""

MAX_NODES = 65_000


class LiveUnavailable(HarnessError):
    """No live run can be started on this machine now; the message says why."""

    exit_code = EXIT_USAGE


def state_directory() -> Path:
    """Where runs keep locks, ledgers and files: `$HARNESS_LIVE_STATE`, or a directory of this user's among the
    temporary ones. It is made when it is not there. LiveUnavailable when it is not this user's own."""
    given = os.environ.get(STATE_VARIABLE)
    return own_directory(Path(given) if given else _default_directory())


def _default_directory() -> Path:
    return Path(tempfile.gettempdir()) / f"harness-live-{os.getuid()}"


def own_directory(state: Path) -> Path:
    """Make the directory if it is not there. LiveUnavailable when it is not this user's own."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = state.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise LiveUnavailable(f"{state} is not a directory of this user; set {STATE_VARIABLE} to one that is")
    return state


def run_directory(state: Path, run: int) -> Path:
    return state.resolve() / f"run-{run}"


def ledger_file(state: Path, run: int) -> Path:
    return state / f"run-{run}.ledger"


class RunLock:
    """Held on the addresses of a run, by a name in the kernel that all users and state directories of this network
    share (unix(7): abstract sockets), and on its files (flock(2)). The kernel releases it when the harness dies."""

    def __init__(self, name: socket.socket, file: IO[str]) -> None:
        self._name = name
        self._file = file

    @classmethod
    def acquire(cls, state: Path, run: int) -> Self | None:
        """None when another process holds it."""
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0{_name(run)}")
        except OSError:
            name.close()
            return None
        file = _flock(state, run)
        if file is None:
            name.close()
            return None
        return cls(name, file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._name.close()


def used_runs(state: Path) -> Iterator[tuple[int, bool]]:
    """The number of every run that was ever started with this state directory, and whether its lock is free.

    A free lock is held while the caller looks at the number.
    """
    for file in sorted(state.glob("run-*.lock")):
        run = int(file.stem.removeprefix("run-"))
        lock = RunLock.acquire(state, run)
        if lock is None:
            yield run, False
        else:
            with lock:
                yield run, True


def holder(state: Path, run: int) -> str:
    """Who holds a lock, for people."""
    for connection in psutil.net_connections("unix"):
        if str(connection.laddr) == f"@{_name(run)}" and connection.pid is not None:
            process = f"process {connection.pid} ({command(connection.pid)})"
            file = _flock(state, run)
            if file is None:
                return process
            file.close()
            where = environment_of(connection.pid).get(STATE_VARIABLE, str(_default_directory()))
            return f"{process}, whose state directory is {where}"
    return "a live run of another user"


def address(run: int, number: int) -> str:
    """The `number`-th loopback address of a run; 0 is where the proxies listen."""
    if not 0 <= number < MAX_NODES:
        raise LiveUnavailable(f"a live run has addresses for {MAX_NODES} nodes; found {number}")
    return f"127.{run}.{(number + 1) >> 8}.{(number + 1) & 255}"


def _name(run: int) -> str:
    return f"harness-live-run-{run}"


def _flock(state: Path, run: int) -> IO[str] | None:
    file = open(state / f"run-{run}.lock", "a", encoding="utf-8")  # noqa: SIM115 (held by the caller)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
