from __future__ import annotations

from harness.cli.options import Json, Run


def judge(run: Run, as_json: Json = False) -> int:
    """Judge a run again from its history; verdict.json is written anew, byte for byte the same."""
    from rich.console import Console

    from harness.cli.outcome import emit_json, usage
    from harness.engine.judge import judge_run, write_verdict
    from harness.history.write import HistoryError
    from harness.report.terminal import WIDTH_MOST, print_results
    from harness.verdict.document import suite_document
    from harness.verdict.model import EXIT_CODES

    try:
        result = judge_run(run)
    except HistoryError as error:
        raise usage(str(error)) from error
    write_verdict(run, result)
    code = EXIT_CODES[result.verdict]
    if as_json:
        emit_json(suite_document([result], result.verdict, code))
    else:
        print_results(Console(highlight=False, soft_wrap=True, width=WIDTH_MOST), [result])
    return code
