from __future__ import annotations

from harness.cli.options import Json, Run
from harness.cli.outcome import Done


def judge(run: Run, as_json: Json = False) -> Done:
    """Judge a run again from its history; verdict.json is written anew, byte for byte the same."""
    from harness.cli.outcome import usage
    from harness.cli.reporting import make_console
    from harness.engine.judge import judge_run, write_verdict
    from harness.history.write import VERDICT, HistoryError
    from harness.report.terminal import print_results
    from harness.verdict.document import suite_document
    from harness.verdict.model import EXIT_CODES

    file = run / VERDICT
    try:
        result = judge_run(run)
        before = file.read_bytes() if file.is_file() else None
        write_verdict(run, result)
    except HistoryError as error:
        raise usage(str(error)) from error
    except OSError as error:
        raise usage(f"{file}: cannot be written: {error.strerror}") from error
    code = EXIT_CODES[result.verdict]
    if not as_json:
        same = before == file.read_bytes()
        print_results(make_console(), [result])
        print(
            f"{file}: {'the same as before' if same else 'there was none' if before is None else 'CHANGED'}"
        )
    return Done(code, suite_document([result], result.verdict, code))
