from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.options import Jobs, Json, Paths, Reports, Seed, Seeds
from harness.cli.outcome import Done
from harness.cli.runtime_options import takes_runtime
from harness.live.options import LiveOptions

if TYPE_CHECKING:
    from harness.report.registry import Reporters

HEADINGS = {"live": "Live, in real time:", "sim": "Virtual time:"}


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

    loaded = load_files(paths, runtime)
    try:
        found = run_both(
            loaded,
            seeds=range(seed, seed + seeds),
            reports=writable(reports),
            jobs=jobs or cores(),
            live_jobs=jobs or 1,
            live=runtime,
            report=_report_half,
        )
    except UsageError as error:
        raise usage(*error.problems) from error
    write(found)
    for line in lines(found):
        print(line)
    return Done(found.exit_code, document(found))


@contextmanager
def _report_half(runtime: str) -> Iterator[Reporters]:
    """Progress, without the table of a suite: the result is the comparison at the end."""
    from harness.cli.reporting import reporting

    print(HEADINGS[runtime])
    with reporting(defaults=("html", "junit", "progress")) as reporters:
        yield reporters
