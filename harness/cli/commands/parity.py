from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.options import Jobs, Json, Paths, Reports, Seed, Seeds
from harness.cli.outcome import Done
from harness.cli.runtime_options import takes_runtime
from harness.live.options import LiveOptions

if TYPE_CHECKING:
    from harness.engine.events import Handler

HALVES = {"live": "Live, in real time:", "sim": "Virtual time:"}


@takes_runtime(only=LiveOptions.name)
def parity(
    paths: Paths,
    runtime: LiveOptions,
    seed: Seed = 1,
    seeds: Seeds = 1,
    jobs: Jobs = None,
    reports: Reports = Path("reports"),
    as_json: Json = False,
) -> Done:
    """Run experiments live and in virtual time, and show how far apart the two are.

    Exit 0: the same verdicts, and every figure within its aim; 1: not; 2: no figure to compare.
    """
    from harness.cli.commands.run import cores, writable
    from harness.cli.outcome import usage
    from harness.cli.selection import load_files
    from harness.errors import UsageError
    from harness.parity.page import document, lines, write
    from harness.parity.run import parity as run_both
    from harness.report.artifacts import finish_run

    loaded = load_files(paths, runtime)
    try:
        found = run_both(
            loaded,
            seeds=range(seed, seed + seeds),
            reports=writable(reports),
            jobs=jobs or cores(),
            live_jobs=jobs or 1,
            live=runtime,
            report=_half,
            finish=finish_run,
        )
    except UsageError as error:
        raise usage(*error.problems) from error
    write(found)
    for line in lines(found):
        print(line)
    return Done(found.exit_code, document(found))


@contextmanager
def _half(which: str) -> Iterator[Sequence[Handler]]:
    """Progress, without the table of a suite: what is of interest is the comparison at the end."""
    import os

    from harness.cli.reporting import make_console
    from harness.engine.events import EngineEvent, SuiteFinished
    from harness.report.artifacts import write_suite
    from harness.report.terminal import TerminalReporter, lively

    console = make_console()
    console.print(HALVES[which])
    terminal = TerminalReporter(console, live=lively(console, os.environ), summary=False)

    def tell(event: EngineEvent) -> None:
        if not isinstance(event, SuiteFinished):
            terminal(event)

    try:
        yield [write_suite, tell]
    finally:
        terminal.stop()
