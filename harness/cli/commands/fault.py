from __future__ import annotations

from typing import Annotated, Any

import typer

from harness.cli.options import Json
from harness.cli.outcome import Done

ACTIONS = ("add", "remove", "list")


def fault(
    action: Annotated[str, typer.Argument(help="add, remove or list.")],
    what: Annotated[
        str,
        typer.Argument(
            help="add: 'fault: crash, target: {node: edge-a-1}'; remove: the number that add said."
        ),
    ] = "",
    run: Annotated[
        str | None, typer.Option("--in", help="Which system, when more than one is up: run-64.")
    ] = None,
    as_json: Json = False,
) -> Done:
    """Put a fault on the system that 'harness up' holds up, take it off, or list them."""
    from harness.cli.outcome import Stop, usage
    from harness.engine.up import ask
    from harness.errors import UsageError
    from harness.gates.result import EXIT_CODES, Verdict
    from harness.live.run_lock import LiveUnavailable

    request: dict[str, Any] = {"do": action}
    if action == "add":
        request["fault"] = what
    elif action == "remove":
        if not what.isdecimal():
            raise usage(f"fault remove '{what}': give the number of a fault; 'harness fault list' shows them")
        request["number"] = int(what)
    elif action != "list":
        raise usage(f"fault {action}: there are {', '.join(ACTIONS)}")
    try:
        answer = ask(request, run=run)
    except (UsageError, LiveUnavailable) as error:
        raise usage(str(error)) from error
    if "problems" in answer:
        raise usage(*answer["problems"])
    if "failed" in answer:
        raise Stop(Verdict.ERROR.value, EXIT_CODES[Verdict.ERROR], answer["failed"])
    for line in answer["said"]:
        print(line)
    return Done(0, answer)
