from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.command import CommandResult, Confidence, Json, echo, parse_confidence
from harness.text import display_path

if TYPE_CHECKING:
    from harness.engine.judge import Rejudged
    from harness.verdict.model import ExperimentResult

MAX_LINES = 20

RunsOfPool = Annotated[
    list[Path], typer.Argument(metavar="RUN...", help="Run directories, as printed by 'harness run'.")
]

Write = Annotated[
    bool, typer.Option("--write", help="Replace verdict.json where the verdict computed now is another one.")
]


def judge(
    runs: RunsOfPool, write: Write = False, confidence: Confidence = None, as_json: Json = False
) -> CommandResult:
    """Judge a run again from its history. Exit 3 when verdict.json says something else, or the history was altered.

    Nothing is overwritten without --write; with it the exit code is that of the new verdict. Several runs are judged
    together, for each experiment; nothing is written then.
    """
    if len(runs) > 1:
        return _judge_pools(runs, parse_confidence(confidence), as_json=as_json)
    (run,) = runs
    from harness.engine.judge import rejudge, write_verdict
    from harness.errors import UsageError
    from harness.gates.result import EXIT_CODES, Verdict
    from harness.history.files import VERDICT
    from harness.report.results_table import make_console, print_results
    from harness.verdict.document import suite_document

    file = run / VERDICT
    try:
        judged = rejudge(run)
        # A verdict on an altered history is not the run's: it is shown, and never kept.
        writes = not judged.altered and (write if judged.recorded else True)
        if writes:
            write_verdict(run, judged.result)
    except OSError as error:
        raise UsageError([f"{file}: cannot be read or written: {error.strerror}"]) from error
    settled = writes or not (judged.altered or judged.differences)
    code = EXIT_CODES[judged.result.verdict if settled else Verdict.ERROR]
    if not as_json:
        print_results(make_console(), [judged.result])
        echo(*_describe(str(file), judged, writes=writes))
    document = suite_document([judged.result], judged.result.verdict, code)
    more = {"altered": list(judged.altered), "differences": list(judged.differences)}
    return CommandResult(code, {**document, **more})


def _judge_pools(runs: Sequence[Path], confidence: float, *, as_json: bool) -> CommandResult:
    from harness.engine.judge import judge_directory, judge_pool
    from harness.errors import UsageError
    from harness.gates.result import EXIT_CODES, worst
    from harness.report.results_table import make_console, print_results
    from harness.verdict.document import suite_document
    from harness.verdict.pool import counted_results

    pools: dict[str, list[ExperimentResult]] = {}
    for run in runs:
        # Where the run is now, not where it was recorded.
        result = replace(judge_directory(run), run=display_path(run))
        pools.setdefault(result.name, []).append(result)
    for name, results in pools.items():
        if len({result.seed for result in results}) < len(results):
            raise UsageError([f"{name}: two of the runs have the same seed; they are no independent runs"])
    for results in pools.values():
        results.sort(key=lambda result: result.seed)
    judged = [result for results in pools.values() for result in results]
    pooled = [judge_pool(results, confidence=confidence) for results in pools.values() if len(results) > 1]
    verdict = worst(one.verdict for one in counted_results(judged, pooled))
    if not as_json:
        print_results(make_console(), judged, pooled)
    return CommandResult(EXIT_CODES[verdict], suite_document(judged, verdict, EXIT_CODES[verdict], pooled))


def _describe(file: str, judged: Rejudged, *, writes: bool) -> list[str]:
    """How verdict.json compares with what is computed now."""
    if not judged.recorded:
        return [f"{file}: there was none; " + ("it is written" if writes else "none is written")]
    if not judged.differences:
        return [f"{file}: the same, byte for byte"]
    shown = [f"  {line}" for line in judged.differences[:MAX_LINES]]
    if len(judged.differences) > MAX_LINES:
        shown.append(f"  and {len(judged.differences) - MAX_LINES} more")
    if judged.altered:
        what = "NOT what is computed now, for the history was altered; it is left as it is:"
    elif writes:
        what = "was NOT what is computed now, and is written anew:"
    else:
        what = "NOT what is computed now; it is left as it is, --write replaces it:"
    return [f"{file}: {what}", *shown]
