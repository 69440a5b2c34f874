from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.command import (
    CommandResult,
    Jobs,
    Json,
    Paths,
    Reports,
    Seed,
    Seeds,
    echo,
    parse_seeds,
    takes_runtime,
)
from harness.live.options import LiveOptions

if TYPE_CHECKING:
    from harness.report.registry import Reporters

HEADINGS = {"live": "Live, in real time:", "sim": "Virtual time:"}


@takes_runtime(only=LiveOptions.name)
def parity(
    paths: Paths,
    runtime: LiveOptions,
    seed: Seed = 1,
    seeds: Seeds = None,
    jobs: Jobs = None,
    reports: Reports = Path("reports"),
    as_json: Json = False,
) -> CommandResult:
    """Run experiments live and in virtual time, and compare the two.

    Exit 0: the same verdicts, and every figure within its threshold; 1: not; 2: no figure to compare.
    """
    from harness.cli.commands.run import cores, writable
    from harness.cli.selection import load_files
    from harness.parity.page import PARITY_PAGE, parity_document, write_parity
    from harness.parity.runner import run_parity
    from harness.parity.text import result_lines

    loaded = load_files(paths, runtime)
    result = run_parity(
        loaded,
        seeds=parse_seeds(seed, seeds),
        reports=writable(reports),
        jobs=jobs or cores(),
        live_jobs=jobs or 1,
        live=runtime,
        open_reporters=_open_reporters,
    )
    write_parity(result)
    for line in result_lines(result, PARITY_PAGE):
        echo(line)
    return CommandResult(result.exit_code, parity_document(result))


@contextmanager
def _open_reporters(runtime: str) -> Iterator[Reporters]:
    """Progress, without the table of a suite: the result is the comparison at the end."""
    from harness.report.registry import open_reporters

    print(HEADINGS[runtime])
    with open_reporters(defaults=("html", "junit", "progress")) as reporters:
        yield reporters
