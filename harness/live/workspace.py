"""`Workspace`: the place of one live run on this machine, for as long as the harness lives.

The kernel releases its lock when the harness dies, in whichever way; then the processes of the run die too
(PR_SET_PDEATHSIG), and the watchdog undoes the rest. If the watchdog is killed as well, the next run or
`harness cleanup` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.live.cleanup import clean_run, describe
from harness.live.ledger import Ledger
from harness.live.run_lock import (
    FIRST,
    LAST,
    LiveUnavailable,
    RunLock,
    address,
    ledger_file,
    own_directory,
    run_directory,
    state_directory,
)
from harness.live.watchdog import watchdog
from harness.runtime.contract import LeftBehind


@dataclass(frozen=True, eq=False, slots=True)
class Workspace:
    """`run`: its number. `directory`: its files. `ledger`: where every resource is written down before it is made."""

    run: int
    directory: Path
    ledger: Ledger

    def address(self, number: int) -> str:
        """The `number`-th loopback address of the run; 0 is where the proxies listen."""
        return address(self.run, number)

    def log(self, name: str) -> IO[bytes]:
        """The log of a process of this run, opened to append."""
        return open(self._log_file(name), "ab")

    def log_tail(self, name: str, lines: int = 12) -> str:
        """The last lines of a log; empty if there are none."""
        try:
            text = self._log_file(name).read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _log_file(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"


@contextmanager
def open_workspace(state: Path | None = None) -> Iterator[Workspace]:
    """Hold the first free run lock; what a dead harness left there is undone first. Everything is undone at the end.

    LiveUnavailable when no lock is free, or when the state directory is not this user's own. At the end,
    LeftBehind when something of the run is still there.
    """
    state = state_directory() if state is None else own_directory(state)
    reasons = []
    for run in range(FIRST, LAST + 1):
        lock = RunLock.acquire(state, run)
        if lock is None:
            continue
        with lock:
            if left := clean_run(state, run).left:
                # Listeners of other programs, or processes that cannot be killed.
                reasons.append(f"run {run} has {describe(left)}")
                continue
            # The watchdog starts first and ends last, when nothing is left.
            with watchdog(state, run) as watching:
                try:
                    with Ledger(ledger_file(state, run)) as ledger:
                        directory = run_directory(state, run)
                        for name in ("disks", "logs"):
                            (directory / name).mkdir(parents=True)
                        yield Workspace(run, directory, ledger)
                finally:
                    left = clean_run(state, run).left
                    # Not reached when Ctrl-C breaks the clean-up off: then the watchdog cleans.
                    watching.dismiss()
            if left:
                raise LeftBehind(f"still there after the run: {describe(left)}")
            return
    others = f" ({'; '.join(reasons)})" if reasons else ""
    raise LiveUnavailable(
        f"all {LAST - FIRST + 1} run locks in {state} are in use{others}; wait until a live run ends"
    )
