from __future__ import annotations

from harness.cli.options import Json
from harness.cli.result import CommandResult


def cleanup(as_json: Json = False) -> CommandResult:
    """Undo what live runs of dead harnesses left on this machine, and prove that it is clean."""
    from harness.gates.result import EXIT_CODES, Verdict
    from harness.live.cleanup import cleanup as clean

    done = clean()
    for slot in done.cleaned:
        print(f"slot {slot.slot}: undone")
        for pid, what in slot.killed:
            print(f"  killed process {pid} ({what})")
        for name in slot.proxies:
            print(f"  removed proxy {name} from a server that outlived the harness")
        for group in slot.cgroups:
            print(f"  removed control group {group}")
        for what, undo in slot.faults:
            print(f"  fault gone with its processes: {what} (undo: {undo})")
    for number, who in done.held:
        print(f"slot {number}: in use by {who}; left alone")
    for number, remains in done.left:
        print(f"slot {number}: STILL THERE: {remains}")
    if done.clean:
        print("clean: no process, listening socket, control group or file of a dead live run")
    document = {
        "state": str(done.state),
        "clean": done.clean,
        "undone": [
            {
                "slot": slot.slot,
                "killed": [{"pid": pid, "command": what} for pid, what in slot.killed],
                "proxies": list(slot.proxies),
                "cgroups": [str(group) for group in slot.cgroups],
                "faults": [{"what": what, "undo": undo} for what, undo in slot.faults],
            }
            for slot in done.cleaned
        ],
        "in_use": [{"slot": number, "by": who} for number, who in done.held],
        "left": [{"slot": number, "what": str(remains)} for number, remains in done.left],
    }
    return CommandResult(0 if done.clean else EXIT_CODES[Verdict.ERROR], document)
