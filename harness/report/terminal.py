"""The terminal: live progress while it runs, then one line a gate and one block for all that is not passed.

Bars appear on a terminal only; with NO_COLOR or CI set, or when piped, there are plain lines instead.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from harness.engine import events
from harness.engine.load import shown_path
from harness.gates.result import GateResult, Verdict
from harness.report import formatting as words
from harness.report.problems import Problem, all_problems
from harness.verdict.model import ArmResult, ExperimentResult

STYLES = {
    Verdict.PASSED: "green",
    Verdict.FAILED: "bold red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.ERROR: "bold magenta",
    Verdict.INTERRUPTED: "bold cyan",
}
WIDTH_MOST = 120
WIDTH_LEAST = 80
QUIET_S = 2.0
PLAIN_EVERY_S = 10.0

STALE_S = 3.0

type Key = tuple[str, int]
type ArmKey = tuple[str, int, str]
"""Arms of one run go on at the same time, each with its own bar."""


def lively(console: Console, environment: Mapping[str, str]) -> bool:
    """Whether to draw bars: on a terminal, and neither NO_COLOR nor CI is set."""
    return console.is_terminal and not environment.get("NO_COLOR") and not environment.get("CI")


class TerminalReporter:
    """A handler of engine events. `now` is any monotonic clock in seconds; it only decides what is drawn."""

    def __init__(
        self,
        console: Console,
        *,
        live: bool,
        summary: bool = True,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._console = console
        self._live = live
        self._summary = summary
        self._now = now
        self._progress: Progress | None = None
        self._tasks: dict[ArmKey, TaskID] = {}
        self._began: dict[Key, float] = {}
        self._said: dict[ArmKey, float] = {}
        self._faults: dict[ArmKey, list[str]] = {}
        self._finished = 0
        self._total = 0

    def __call__(self, event: events.EngineEvent) -> None:
        match event:
            case events.SuiteStarted():
                self._start(event)
            case events.RunStarted():
                self._began[event.experiment, event.seed] = self._now()
            case events.Progress():
                self._advance(event)
            case events.FaultChanged():
                self._fault(event)
            case events.RunFinished():
                self._finish(event)
            case events.SuiteFinished():
                self._close(event)

    def stop(self) -> None:
        """Take the bars away; safe at any time and more than once."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _start(self, event: events.SuiteStarted) -> None:
        self._total = len(event.experiments) * max(1, len(event.seeds))
        seeds = f"seed {event.seeds[0]}" if len(event.seeds) == 1 else f"{len(event.seeds)} seeds"
        jobs = "1 job" if event.jobs == 1 else f"{event.jobs} jobs"
        count = len(event.experiments)
        self._print(f"{count} experiment{'' if count == 1 else 's'}, {seeds}, {jobs}")
        if self._live:
            self._progress = Progress(
                TextColumn("  {task.description}"),
                BarColumn(bar_width=20),
                TextColumn("{task.fields[state]}"),
                console=self._console,
                transient=True,
            )
            self._progress.start()

    def _advance(self, event: events.Progress) -> None:
        key = (event.experiment, event.seed, event.arm)
        now = self._now()
        began = self._began.setdefault(key[:2], now)
        if now - began < QUIET_S:
            return
        if self._progress is not None:
            self._said[key] = now
            self._remove([other for other in self._tasks if now - self._said[other] > STALE_S])
            if key not in self._tasks:
                self._tasks[key] = self._progress.add_task(event.experiment, total=event.total_s, state="")
            self._progress.update(
                self._tasks[key], completed=event.done_s, total=event.total_s, state=self._state(event)
            )
        elif not self._live and now - self._said.get(key, began) >= PLAIN_EVERY_S:
            self._said[key] = now
            self._print(f"  {event.experiment}: {self._state(event)}")

    def _remove(self, keys: Iterable[ArmKey]) -> None:
        """Take away the bars of arms that are over (nothing more is heard of them)."""
        for key in keys:
            if self._progress is not None and key in self._tasks:
                self._progress.remove_task(self._tasks.pop(key))

    def _state(self, event: events.Progress) -> str:
        faults = self._faults.get((event.experiment, event.seed, event.arm), [])
        parts = [
            event.arm,
            f"{event.done_s:.0f}/{event.total_s:.0f} s",
            f"{event.clients} client{'' if event.clients == 1 else 's'}",
        ]
        if faults:
            parts.append(f"fault: {', '.join(faults[:2])}{' ...' if len(faults) > 2 else ''}")
        return ", ".join(parts)

    def _fault(self, event: events.FaultChanged) -> None:
        now = self._faults.setdefault((event.experiment, event.seed, event.arm), [])
        if event.change == "applied":
            now.append(event.fault)
        elif event.fault in now:
            now.remove(event.fault)

    def _finish(self, event: events.RunFinished) -> None:
        result = event.result
        key = (result.name, result.seed)
        self._remove([other for other in self._tasks if other[:2] == key])
        self._finished += 1
        counted = f"{self._finished}/{self._total}" if self._total else str(self._finished)
        line = Text("  ").append_text(badge(result.verdict))
        line.append(f"  {result.name}", "bold").append(
            f"  seed {result.seed}, {event.elapsed_s:.1f} s  ({counted})"
        )
        self._print(line)

    def _close(self, event: events.SuiteFinished) -> None:
        self.stop()
        if self._summary:
            print_results(self._console, event.results)
        for line in closing(event):
            self._print(line)

    def _print(self, line: str | Text) -> None:
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)


def badge(verdict: Verdict) -> Text:
    return Text(f"{words.SYMBOLS[verdict]} {words.verdict_word(verdict):<12}", STYLES[verdict])


def closing(event: events.SuiteFinished) -> list[Text]:
    """The last lines: where the reports are, then the verdict of the suite and the exit code."""
    counts: dict[Verdict, int] = {}
    for result in event.results:
        counts[result.verdict] = counts.get(result.verdict, 0) + 1
    parts = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict if verdict in counts)
    lines = []
    if event.reports and event.results:
        index = Path(event.reports) / "index.html"
        # Terminals that know links open it with a click; the words are the same everywhere.
        lines.append(Text("Report: ").append(shown_path(index), f"link {index.resolve().as_uri()}"))
        lines += _run_directories(event.results)
    last = Text(f"{words.SYMBOLS[event.verdict]} {words.verdict_word(event.verdict)}", STYLES[event.verdict])
    last.append(
        f"  {parts or 'nothing ran'}, in {event.elapsed_s:.1f} s, exit code {event.exit_code}", "default"
    )
    lines.append(last)
    return lines


def _run_directories(results: Iterable[ExperimentResult]) -> list[Text]:
    """Where the history of the run is, for `harness judge` and `replay`; of many, where they all are."""
    runs = [result.run for result in results if result.history_sha256]
    if len(runs) == 1:
        return [Text(f"Run:    {runs[0]}")]
    return [Text(f"Runs:   {Path(runs[0]).parent.as_posix()}/NAME.seedN")] if runs else []


def print_results(console: Console, results: Iterable[ExperimentResult]) -> None:
    """The table of gates, then a block for everything that is not passed."""
    results = tuple(results)
    if not results:
        return
    width = max(WIDTH_LEAST, min(console.width, WIDTH_MOST))
    put = _printer(console)
    put(Text())
    header, *_ = _row("GATE", "VALUE", "INTERVAL", "LIMIT", "SAMPLES", width)
    put(Text(f"  {'VERDICT':<{_VERDICT - 2}}{header}", "dim"))
    for result in results:
        for line in _result_lines(result, width):
            put(line)
    for problem in all_problems(results):
        put(Text())
        for line in problem_lines(problem, width):
            put(line)
    put(Text())


def _printer(console: Console) -> Callable[[Text], None]:
    return lambda line: console.print(line, soft_wrap=True, highlight=False)


_VERDICT, _VALUE, _INTERVAL, _LIMIT, _SAMPLES = 17, 9, 21, 10, 8


def _row(name: str, value: str, interval: str, limit: str, samples: str, width: int) -> list[str]:
    """All of a line but the verdict; a long name goes on below itself, nothing is cut."""
    room = width - _VERDICT - _VALUE - _INTERVAL - _LIMIT - _SAMPLES
    first, *more = textwrap.wrap(name, room - 1) or [""]
    figures = f"{value:>{_VALUE}}{interval:>{_INTERVAL}}{limit:>{_LIMIT}}{samples:>{_SAMPLES}}"
    return [f"{first:<{room}}{figures}".rstrip(), *(" " * (_VERDICT + 2) + part for part in more)]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _result_lines(result: ExperimentResult, width: int) -> list[Text]:
    head = Text()
    head.append(f"{result.name}", "bold").append(" ")
    head.append(words.verdict_word(result.verdict), STYLES[result.verdict])
    tail = f"  seed {result.seed}  {result.title}"
    head.append(_cut(tail, max(10, width - len(head.plain))), "dim")
    lines = [head]
    # Invariants that hold are many and all say the same: one line for them, and a line for each that does not.
    calm = [gate for gate in result.gates if gate.kind == "invariant" and gate.verdict is Verdict.PASSED]
    for gate in result.gates:
        if len(calm) < 2 or gate not in calm:
            lines += _gate_lines(gate, gate.name, gate.verdict, width)
    if len(calm) > 1:
        together = replace(calm[0], samples=sum(gate.samples for gate in calm))
        lines += _gate_lines(together, f"{len(calm)} invariants, never violated", Verdict.PASSED, width)
    for arm in result.arms:
        lines += _arm_lines(arm, width)
    if result.verdict is not Verdict.ERROR:  # of an error they say why, and that is told below
        for note in result.notes:
            first, *more = textwrap.wrap(note, width - _VERDICT - 2)
            lines.append(Text("  ").append(f"{'· note':<14}", "yellow").append(f" {first}"))
            lines += [Text(" " * (_VERDICT + 2) + part) for part in more]
    return lines


def _gate_lines(gate: GateResult, name: str, verdict: Verdict, width: int) -> list[Text]:
    first, *more = _row(
        name,
        words.gate_value(gate),
        words.gate_interval(gate),
        words.gate_limit(gate),
        f"{gate.samples:,}",
        width,
    )
    return [Text("  ").append_text(badge(verdict)).append(f" {first}"), *map(Text, more)]


def _arm_lines(arm: ArmResult, width: int) -> list[Text]:
    if not arm.gates:
        text = _cut(f" {arm.name}: {arm.reason}", width - _VERDICT)
        return [Text("  ").append_text(badge(arm.verdict)).append(text)]
    lines = []
    for gate in arm.gates:
        name = f"without {', '.join(arm.without)}: {gate.name} {words.arm_told(arm, gate)}"
        lines += _gate_lines(gate, name, arm.verdict, width)
    return lines


def problem_lines(problem: Problem, width: int) -> list[Text]:
    """The block of one problem: what, why, the evidence, where it is written, how to see it again."""
    first, *more = textwrap.wrap(f"{problem.experiment}: {problem.subject}", width - _VERDICT)
    lines = [
        badge(problem.verdict).append(f"   {first}", "bold"),
        *(Text(" " * _VERDICT + part) for part in more),
    ]
    rows = [("why", problem.reason), *problem.details[:-1], ("at", problem.where), *problem.details[-1:]]
    if not problem.details:
        rows = [("why", problem.reason), ("at", problem.where)]
    for label, text in rows:
        lines += _labelled(label, text, width)
    return lines


def _labelled(label: str, text: str, width: int) -> list[Text]:
    indent = 17
    # A command or a path is never broken: it must be copied in one piece.
    keep = label in ("replay", "at")
    parts = [text] if keep else textwrap.wrap(text, width - indent, break_long_words=False) or [""]
    lines = [Text(f"    {label:<13}", "dim").append(parts[0], "default")]
    lines += [Text(" " * indent).append(part) for part in parts[1:]]
    return lines
