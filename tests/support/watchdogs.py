"""A harness without its watchdog: what it leaves is found by the next run or by `harness cleanup`."""

from __future__ import annotations

from pathlib import Path

import psutil

MODULE = "harness.live.watchdog"


def watchdogs(state: Path) -> list[int]:
    """Of harnesses with this state directory."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        arguments = process.info["cmdline"] or ()
        if MODULE in arguments and str(state) in arguments:
            found.append(process.pid)
    return found


def kill_watchdogs(state: Path) -> None:
    """AssertionError when there is none."""
    found = watchdogs(state)
    assert found
    for pid in found:
        psutil.Process(pid).kill()
