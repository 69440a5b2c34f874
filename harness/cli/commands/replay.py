from __future__ import annotations

from harness.cli.command import CommandResult, Json, Run, echo


def replay(run: Run, as_json: Json = False) -> CommandResult:
    """Run a run directory's experiment again and compare the histories. Exit 3 when they differ, or one was altered."""
    from harness.engine.replay import replay_run
    from harness.gates.result import EXIT_CODES, Verdict
    from harness.report.registry import open_reporters
    from harness.verdict.document import suite_document

    with open_reporters() as reporters:
        replayed = replay_run(run, reporters.handlers, reporters.finish)
    finished = replayed.finished
    code = finished.exit_code if replayed.identical else EXIT_CODES[Verdict.ERROR]
    if not replayed.differences:
        print(f"replayed exactly: the same history, sha256 {replayed.result.history_sha256}")
    else:
        print(
            f"NOT the same history: {', '.join(replayed.differences)} differ; the code or a library has changed "
            "since (compare 'versions' in both environment.json), or something is not deterministic"
        )
    if replayed.altered:
        echo(f"{run}: NOT as it was recorded: {'; '.join(replayed.altered)}")
    document = suite_document(finished.results, finished.verdict, code)
    return CommandResult(
        code,
        {
            **document,
            "identical": replayed.identical,
            "differences": list(replayed.differences),
            "altered": list(replayed.altered),
        },
    )
