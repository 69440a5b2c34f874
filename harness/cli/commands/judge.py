from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import Json, Run
from harness.cli.outcome import Done

if TYPE_CHECKING:
    from harness.engine.judge import Rejudged

LINES_MOST = 20

Write = Annotated[
    bool, typer.Option("--write", help="Replace verdict.json where the verdict computed now is another one.")
]


def judge(run: Run, write: Write = False, as_json: Json = False) -> Done:
    """Judge a run again from its history. Exit 3 when verdict.json says something else, or the history was altered.

    Nothing is overwritten without --write; with it the exit code is that of the new verdict.
    """
    from harness.cli.outcome import usage
    from harness.cli.reporting import make_console
    from harness.engine.judge import rejudge, write_verdict
    from harness.gates.result import EXIT_CODES, Verdict
    from harness.history.errors import HistoryError
    from harness.history.files import VERDICT
    from harness.report.terminal import print_results
    from harness.verdict.document import suite_document

    file = run / VERDICT
    try:
        judged = rejudge(run)
        # A verdict on an altered history is not the run's: it is told, and never kept.
        writes = not judged.altered and (write if judged.recorded else True)
        if writes:
            write_verdict(run, judged.result)
    except HistoryError as error:
        raise usage(str(error)) from error
    except OSError as error:
        raise usage(f"{file}: cannot be read or written: {error.strerror}") from error
    settled = writes or not (judged.altered or judged.differences)
    code = EXIT_CODES[judged.result.verdict if settled else Verdict.ERROR]
    if not as_json:
        print_results(make_console(), [judged.result])
        print("\n".join(_told(str(file), judged, writes=writes)))
    document = suite_document([judged.result], judged.result.verdict, code)
    more = {"altered": list(judged.altered), "differences": list(judged.differences)}
    return Done(code, {**document, **more})


def _told(file: str, judged: Rejudged, *, writes: bool) -> list[str]:
    """What is there beside what was computed now."""
    if not judged.recorded:
        return [f"{file}: there was none; " + ("it is written" if writes else "none is written")]
    if not judged.differences:
        return [f"{file}: the same, byte for byte"]
    shown = [f"  {line}" for line in judged.differences[:LINES_MOST]]
    if len(judged.differences) > LINES_MOST:
        shown.append(f"  and {len(judged.differences) - LINES_MOST} more")
    if judged.altered:
        what = "NOT what is computed now, for the history was altered; it is left as it is:"
    elif writes:
        what = "was NOT what is computed now, and is written anew:"
    else:
        what = "NOT what is computed now; it is left as it is, --write replaces it:"
    return [f"{file}: {what}", *shown]
