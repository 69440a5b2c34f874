from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.options import Jobs, Json, Paths, Reports, Seed, Seeds, Without

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.engine.events import Handler


def run(
    paths: Paths,
    seed: Seed = 1,
    seeds: Seeds = 1,
    jobs: Jobs = None,
    without: Without = None,
    reports: Reports = Path("reports"),
    as_json: Json = False,
) -> int:
    """Run experiments in virtual time and judge them."""
    from harness.cli.loading import load
    from harness.cli.outcome import emit_json, shown, usage
    from harness.engine.plan import UsageError
    from harness.engine.suite import run_suite
    from harness.report.finish import finish_run, finish_suite
    from harness.verdict.document import suite_document

    loaded = load(paths)
    handlers, close = reporters(as_json=as_json)
    try:
        finished = run_suite(
            loaded,
            seeds=range(seed, seed + seeds),
            jobs=jobs or os.cpu_count() or 1,
            without=tuple(dict.fromkeys(without or ())),
            reports=reports,
            handlers=handlers,
            finish=finish_run,
        )
    except UsageError as error:
        raise usage(*error.problems) from error
    finally:
        close()
    index = finish_suite(Path(finished.reports), finished.results, finished.elapsed_s)
    if as_json:
        emit_json(suite_document(finished.results, finished.verdict, finished.exit_code))
    else:
        print(f"report: {shown(index)}")
    return finished.exit_code


def reporters(*, as_json: bool) -> tuple[list[Handler], Callable[[], None]]:
    """The handlers of this command line, and how to close them. With --json all of it goes to stderr."""
    from rich.console import Console

    from harness.report import github
    from harness.report.terminal import WIDTH_LEAST, WIDTH_MOST, TerminalReporter, lively

    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console = Console(stderr=as_json, highlight=False, soft_wrap=True, width=WIDTH_MOST)
    console.width = max(WIDTH_LEAST, min(console.width, WIDTH_MOST))
    terminal = TerminalReporter(console, live=lively(console, os.environ))
    handlers: list[Handler] = [terminal]
    if github.active(os.environ):
        handlers.append(github.GitHubReporter(sys.stderr if as_json else sys.stdout))
    return handlers, terminal.stop
