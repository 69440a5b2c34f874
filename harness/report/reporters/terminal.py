"""`terminal`: progress, then the table of results, where the reports are, and the verdict of the suite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from rich.text import Text

from harness.engine.events import EngineEvent, SuiteFinished
from harness.gates.result import Verdict
from harness.report.formatting import SYMBOLS, verdict_word
from harness.report.reporter import reporter
from harness.report.reporters.html import HtmlReporter
from harness.report.reporters.progress import ProgressReporter
from harness.report.results_table import STYLES, print_results
from harness.text import display_path
from harness.verdict.model import ExperimentResult


@reporter("terminal")
class TerminalReporter(ProgressReporter):
    """Progress in the terminal, then a line for each gate and a block for everything that has not passed."""

    default = True
    prints_end = True

    def __call__(self, event: EngineEvent) -> None:
        super().__call__(event)
        if isinstance(event, SuiteFinished):
            print_results(self.console, event.results, event.pooled)
            for line in closing_lines(event):
                self.print(line)


def closing_lines(event: SuiteFinished) -> list[Text]:
    """The last lines: where the reports are, then the verdict of the suite and the exit code."""
    counts = Counter(result.verdict for result in event.results)
    parts = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict if verdict in counts)
    lines = []
    if event.reports and event.results:
        index = Path(event.reports) / HtmlReporter.file
        # Terminals that know links open it with a click; the text is the same everywhere.
        lines.append(Text("Report: ").append(display_path(index), f"link {index.resolve().as_uri()}"))
        lines += _run_directories(event.results)
    last = Text(f"{SYMBOLS[event.verdict]} {verdict_word(event.verdict)}", STYLES[event.verdict])
    failed = "; a reporter failed" if event.reporter_failed else ""
    if event.pooled:
        pools = Counter(one.verdict for one in event.pooled)
        counted = ", ".join(f"{pools[verdict]} {verdict.value}" for verdict in Verdict if verdict in pools)
        parts = f"over all seeds {counted}; runs: {parts}"
    last.append(
        f"  {parts or 'nothing ran'}, in {event.elapsed_s:.1f} s{failed}, exit code {event.exit_code}",
        "default",
    )
    return [*lines, last]


def _run_directories(results: Iterable[ExperimentResult]) -> list[Text]:
    """The run directory, for `harness judge` and `replay`; of many runs, the pattern of their names."""
    runs = [result.run for result in results if result.history_sha256]
    if len(runs) == 1:
        return [Text(f"Run:    {runs[0]}")]
    return [Text(f"Runs:   {Path(runs[0]).parent.as_posix()}/NAME.seedN")] if runs else []
