from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.command import CommandResult, Json, Run, echo

if TYPE_CHECKING:
    from harness.engine.judge import Rejudged

MAX_LINES = 20

Write = Annotated[
    bool, typer.Option("--write", help="Replace verdict.json where the verdict computed now is another one.")
]


def judge(run: Run, write: Write = False, as_json: Json = False) -> CommandResult:
    """Judge a run again from its history. Exit 3 when verdict.json says something else, or the history was altered.

    Nothing is overwritten without --write; with it the exit code is that of the new verdict.
    """
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
