"""Helpers of the live tests."""

from __future__ import annotations

import fcntl
import functools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.live.cleanup import run_remains
from harness.live.kernel.probe import missing
from harness.live.ledger import read
from harness.live.processes import started
from harness.live.resources import Item, Process
from harness.live.run_lock import ledger_file, used_runs
from harness.live.workspace import Workspace


@functools.cache
def kernel_lacks() -> str:
    """Why this machine cannot have a kernel network; empty when it can."""
    return "; ".join(missing())


def require_kernel() -> None:
    """Skip, with the reason, where there can be no kernel network."""
    if lacks := kernel_lacks():
        pytest.skip(f"no kernel network here: {lacks}")


def run_number(state: Path) -> int:
    """The one run that has files in this state directory or, where none has, that was ever started with it."""
    (path,) = [*state.glob("run-*/")] or state.glob("run-*.lock")
    return int(path.stem.removeprefix("run-"))


def living_processes(workspace: Workspace) -> dict[int, str]:
    """The processes of a run by id, each with its name or that of its node, from the ledger."""
    return {
        one.pid: one.name.removeprefix("node ")
        for one in read(ledger_file(workspace.directory.parent, workspace.run))
        if isinstance(one, Process) and started(one.pid) == one.started
    }


def remains(state: Path) -> tuple[Item, ...]:
    """What of that run is on the machine now."""
    # A number that somebody holds is a run of another test, which has cleaned it first.
    return tuple(item for run, free in used_runs(state) if free for item in run_remains(state, run))


@contextmanager
def machine_devices(*, changes: bool) -> Iterator[None]:
    """While the machine's network devices are compared, or changed, by one of several test processes."""
    with open(Path(tempfile.gettempdir()) / f"harness-tests-devices-{os.getuid()}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if changes else fcntl.LOCK_SH)
        yield
