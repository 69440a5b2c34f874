"""A harness without its warden: what is left then is found by whoever comes next."""

from __future__ import annotations

import os
import signal
from pathlib import Path

WARDEN = b"harness.live.watchdog"


def wardens(state: Path) -> list[int]:
    """Of harnesses with this state directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if WARDEN in words and str(state).encode() in words:
            found.append(int(entry.name))
    return found


def kill_wardens(state: Path) -> None:
    """AssertionError when there is none."""
    found = wardens(state)
    assert found
    for pid in found:
        os.kill(pid, signal.SIGKILL)
