"""`progress`: what goes on while a suite runs, and one line for each run that is over.

Bars appear on a terminal only; with NO_COLOR or CI set, or when piped, there are plain lines instead.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from rich import progress
from rich.console import Console
from rich.text import Text

from harness.engine.events import (
    EngineEvent,
    FaultChanged,
    Progress,
    RunFinished,
    RunStarted,
    SuiteFinished,
    SuiteStarted,
)
from harness.report.reporter import Reporter, reporter
from harness.report.results_table import badge, draws_bars, make_console, print_line
from harness.text import one_line, plural

QUIET_S = 2.0
"""A run that takes less shows no progress."""

PLAIN_EVERY_S = 10.0
STALE_S = 3.0
"""The bar of an arm that has reported nothing for so long goes away: the arm is over."""

type Key = tuple[str, int]
type ArmKey = tuple[str, int, str]
"""Arms of one run go on at the same time, each with its own bar."""


@reporter("progress")
class ProgressReporter(Reporter):
    """Progress in the terminal, without a table of results."""

    def __init__(
        self,
        path: Path | None = None,
        *,
        console: Console | None = None,
        bars: bool | None = None,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`bars` None: where the terminal can draw them. `now`: any monotonic clock, in seconds."""
        super().__init__(path)
        self.console = make_console() if console is None else console
        self._bars = draws_bars(self.console, os.environ) if bars is None else bars
        self._now = now
        self._display: progress.Progress | None = None
        self._tasks: dict[ArmKey, progress.TaskID] = {}
        self._began: dict[Key, float] = {}
        self._reported: dict[ArmKey, float] = {}
        self._faults: dict[ArmKey, list[str]] = {}
        self._finished = 0
        self._total = 0

    def __call__(self, event: EngineEvent) -> None:
        match event:
            case SuiteStarted():
                self._start(event)
            case RunStarted():
                self._began[event.experiment, event.seed] = self._now()
            case Progress():
                self._advance(event)
            case FaultChanged():
                self._change_fault(event)
            case RunFinished():
                self._finish(event)
            case SuiteFinished():
                self.close()

    def close(self) -> None:
        """Remove the bars; safe at any time and more than once."""
        if self._display is not None:
            self._display.stop()
            self._display = None

    def print(self, line: str | Text) -> None:
        print_line(self.console, line)

    def _start(self, event: SuiteStarted) -> None:
        count = len(event.experiments)
        self._total = 0 if event.until_decided else count * max(1, len(event.seeds))
        seeds = f"seed {event.seeds[0]}" if len(event.seeds) == 1 else plural(len(event.seeds), "seed")
        seeds = f"at most {seeds}" if event.until_decided and len(event.seeds) > 1 else seeds
        self.print(f"{plural(count, 'experiment')}, {seeds}, {plural(event.jobs, 'job')}")
        if self._bars:
            self._display = progress.Progress(
                progress.TextColumn("  {task.description}"),
                progress.BarColumn(bar_width=20),
                progress.TextColumn("{task.fields[state]}"),
                console=self.console,
                transient=True,
            )
            self._display.start()

    def _advance(self, event: Progress) -> None:
        key = (event.experiment, event.seed, event.arm)
        now = self._now()
        began = self._began.setdefault(key[:2], now)
        if now - began < QUIET_S:
            return
        if self._display is not None:
            self._reported[key] = now
            self._remove([other for other in self._tasks if now - self._reported[other] > STALE_S])
            if key not in self._tasks:
                self._tasks[key] = self._display.add_task(event.experiment, total=event.total_s, state="")
            self._display.update(
                self._tasks[key], completed=event.done_s, total=event.total_s, state=self._state(event)
            )
        elif not self._bars and now - self._reported.get(key, began) >= PLAIN_EVERY_S:
            self._reported[key] = now
            self.print(f"  {event.experiment}: {self._state(event)}")

    def _remove(self, keys: Iterable[ArmKey]) -> None:
        for key in keys:
            if self._display is not None and key in self._tasks:
                self._display.remove_task(self._tasks.pop(key))

    def _state(self, event: Progress) -> str:
        faults = self._faults.get((event.experiment, event.seed, event.arm), [])
        parts = [event.arm, f"{event.done_s:.0f}/{event.total_s:.0f} s", plural(event.clients, "client")]
        if faults:
            parts.append(f"fault: {', '.join(faults[:2])}{' ...' if len(faults) > 2 else ''}")
        return one_line(", ".join(parts))

    def _change_fault(self, event: FaultChanged) -> None:
        active = self._faults.setdefault((event.experiment, event.seed, event.arm), [])
        if event.change == "applied":
            active.append(event.fault)
        elif event.fault in active:
            active.remove(event.fault)

    def _finish(self, event: RunFinished) -> None:
        result = event.result
        key = (result.name, result.seed)
        self._remove([other for other in self._tasks if other[:2] == key])
        self._finished += 1
        count = f"{self._finished}/{self._total}" if self._total else str(self._finished)
        line = Text("  ").append_text(badge(result.verdict))
        line.append(f"  {result.name}", "bold").append(
            f"  seed {result.seed}, {event.elapsed_s:.1f} s  ({count})"
        )
        self.print(line)
