from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.command import CommandResult, Json, echo

if TYPE_CHECKING:
    from harness.live.interactive.protocol import FaultStatus, Request


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
    from harness.live.interactive.protocol import ask

    faults = ask(_request(action, what), run=run).faults
    for status in faults:
        echo(describe_status(status))
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


def describe_status(status: FaultStatus) -> str:
    """`1: latency (delay 400 ms) on gateway-1 > recommender-1, 30 s left`."""
    from harness.sli.formatting import exposure

    on = f"{describe_fault(status)} on {', '.join(status.targets)}"
    affected = f"affected {exposure(status.exposure)}"
    if status.state == "done":
        return f"done: {on}; {affected}"
    if status.state == "removed":
        return f"{status.number} removed: {status.fault}; {affected}"
    if status.error is not None:
        again = f"try again: harness fault remove {status.number}"
        return f"{status.number}: {on}, STILL APPLIED, at least in part: {status.error}; {again}"
    left = "until it is removed" if status.left_s is None else f"{status.left_s:.0f} s left"
    return f"{status.number}: {on}, {left}"


def describe_fault(status: FaultStatus) -> str:
    """`latency (delay 400 ms)`: the parameters that differ from their defaults."""
    from harness.faults.catalogue import FAULTS, parameters
    from harness.sli.formatting import quantity

    given = status.parameters
    texts = [
        f"{one.name} {quantity(given[one.name], one.unit) if one.unit else given[one.name]}"
        for one in parameters(FAULTS[status.fault])
        if one.name in given and given[one.name] != one.default
    ]
    return f"{status.fault} ({', '.join(texts)})" if texts else status.fault
