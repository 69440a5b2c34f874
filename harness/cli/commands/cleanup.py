from __future__ import annotations

from dataclasses import asdict

from harness.cli.options import Json
from harness.cli.outcome import Done


def cleanup(as_json: Json = False) -> Done:
    """Undo what live runs of dead harnesses left on this machine, and prove that it is clean."""
    from harness.cli.outcome import usage
    from harness.gates.result import EXIT_CODES, Verdict
    from harness.live.cleanup import cleanup as clean
    from harness.live.cleanup import describe
    from harness.live.run_lock import LiveUnavailable

    try:
        done = clean()
    except LiveUnavailable as error:
        raise usage(str(error)) from error
    for run in done.cleaned:
        print(f"run {run.run}: undone")
        for item in run.undone:
            print(f"  {item.description}")
        if run.left:
            print(f"  STILL THERE: {describe(run.left)}")
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
    return Done(0 if done.clean else EXIT_CODES[Verdict.ERROR], document)
