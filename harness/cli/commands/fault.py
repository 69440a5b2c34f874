from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import Json
from harness.cli.result import CommandResult

if TYPE_CHECKING:
    from harness.live.interactive.protocol import Request

ACTIONS = ("add", "remove", "list")


def fault(
    action: Annotated[str, typer.Argument(help="add, remove or list.")],
    what: Annotated[
        str,
        typer.Argument(help="add: 'fault: crash, target: {node: edge-a-1}'; remove: the number of a fault."),
    ] = "",
    run: Annotated[
        str | None, typer.Option("--in", help="Which system, when more than one is up, such as run-64.")
    ] = None,
    as_json: Json = False,
) -> CommandResult:
    """Apply a fault to the system that 'harness up' started, remove one, or list them."""
    from harness.cli.fault_status import describe_status
    from harness.live.interactive.client import ask

    faults = ask(_request(action, what), run=run).faults
    for status in faults:
        print(describe_status(status))
    if not faults:
        print("no fault is applied")
    return CommandResult(0, {"faults": [status.model_dump(mode="json") for status in faults]})


def _request(action: str, what: str) -> Request:
    from harness.errors import UsageError
    from harness.live.interactive.protocol import AddFault, ListFaults, RemoveFault

    match action:
        case "add":
            return AddFault(fault=what)
        case "remove" if what.isdecimal():
            return RemoveFault(number=int(what))
        case "remove":
            raise UsageError([f"fault remove '{what}': give the number of a fault; see 'harness fault list'"])
        case "list":
            return ListFaults()
    raise UsageError([f"fault {action}: use {', '.join(ACTIONS[:-1])} or {ACTIONS[-1]}"])
