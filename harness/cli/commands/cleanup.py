from __future__ import annotations

from dataclasses import asdict

from harness.cli.command import CommandResult, Json, echo


def cleanup(as_json: Json = False) -> CommandResult:
    """Undo what live runs of dead harnesses left on this machine, and prove that it is clean."""
    from harness.gates.result import EXIT_CODES, Verdict
    from harness.live.cleanup import cleanup as clean
    from harness.live.cleanup import describe

    done = clean()
    for run in done.cleaned:
        print(f"run {run.run} of a dead harness:")
        for item in run.undone:
            echo(f"  {item.description}")
        for reason in run.failures:
            echo(f"  not undone: {reason}")
        if run.left:
            echo(f"  STILL THERE: {describe(run.left)}")
    for number, who in done.held:
        print(f"run {number}: in use by {who}; left alone")
    if done.clean:
        print("clean: no process, listening socket, control group or file of a dead live run")
    document = {
        "state": str(done.state),
        "clean": done.clean,
        "cleaned": [asdict(run) for run in done.cleaned],
        "held": [{"run": number, "by": who} for number, who in done.held],
    }
    return CommandResult(0 if done.clean else EXIT_CODES[Verdict.ERROR], document)
