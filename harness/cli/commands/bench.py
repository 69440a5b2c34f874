from __future__ import annotations

from typing import Annotated, Literal

import typer

from harness.cli.command import CommandResult, Json, Seed, Without, echo, parse_budget


def bench(
    what: Annotated[Literal["fuzz"], typer.Argument(help="What is measured: the search of 'harness fuzz'.")],
    target: Annotated[str, typer.Argument(metavar="SYSTEM|FILE", help="A system, or an experiment file.")],
    schedules: Annotated[
        int, typer.Option(help="Schedules for each safeguard and each way to search.", min=1)
    ] = 100,
    seed: Seed = 1,
    without: Without = None,
    jobs: Annotated[
        int | None, typer.Option(help="Processes; as many as there are cores if not given.", min=1)
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option("--fault", help="Only this kind of fault; may be given more than once."),
    ] = None,
    for_: Annotated[
        str | None,
        typer.Option("--for", metavar="DURATION", help="How long clients arrive; 30s if not given."),
    ] = None,
    as_json: Json = False,
) -> CommandResult:
    """Measure how many fuzz schedules show a defect: with each safeguard of a system off, or those of --without.

    Exit 1 when a safeguard that is off is not found by the whole search, or something is found with all of them on.
    """
    from harness.cli.commands.run import cores
    from harness.errors import EXIT_ERROR, EXIT_FAILED, EXIT_PASSED
    from harness.explore.bench import describe, document, measure
    from harness.explore.start import Wishes, make_subject

    wishes = Wishes(target, for_s=parse_budget("--for", for_), faults=tuple(dict.fromkeys(fault or ())))
    system = make_subject(wishes).system
    names = tuple(dict.fromkeys(without or (safeguard.name for safeguard in system.safeguards)))
    found = []
    for one in measure(wishes, (None, *names), schedules=schedules, seed=seed, jobs=jobs or cores()):
        echo(describe(one))
        found.append(one)
    wrong = any((one.shown > 0) is (one.without is None) for one in found if one.way == "search")
    code = EXIT_FAILED if wrong else EXIT_PASSED
    if any(one.broken is not None for one in found):
        code = EXIT_ERROR
    return CommandResult(code, {"exit_code": code, "detections": document(found)})
