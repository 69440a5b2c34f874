from __future__ import annotations

from harness.cli.options import Json, Run


def replay(run: Run, as_json: Json = False) -> int:
    """Run a run directory's experiment again and compare the histories. Exit 3 when they differ."""
    from pathlib import Path

    from harness.cli.commands.run import reporters
    from harness.cli.outcome import emit_json, usage
    from harness.engine.replay import replay as run_again
    from harness.history.write import HistoryError
    from harness.report.finish import finish_run, finish_suite
    from harness.spec.diagnostics import SpecError
    from harness.verdict.document import suite_document
    from harness.verdict.model import EXIT_CODES, Verdict

    handlers, close = reporters(as_json=as_json)
    try:
        replayed = run_again(run, handlers, finish_run)
    except SpecError as error:
        raise usage(*map(str, error.diagnostics)) from error
    except HistoryError as error:
        raise usage(str(error)) from error
    finally:
        close()
    finished = replayed.finished
    finish_suite(Path(finished.reports), finished.results, finished.elapsed_s)
    code = finished.exit_code if replayed.identical else EXIT_CODES[Verdict.ERROR]
    if as_json:
        document = suite_document(finished.results, finished.verdict, code)
        emit_json({**document, "identical": replayed.identical, "differences": list(replayed.differences)})
    elif replayed.identical:
        print(f"replayed exactly: the same history, sha256 {replayed.result.history_sha256}")
    else:
        print(
            f"NOT the same history: {', '.join(replayed.differences)} differ; the code or a library has changed "
            "since (see environment.json of both), or something is not deterministic"
        )
    return code
