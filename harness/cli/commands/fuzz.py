from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.command import CommandResult, Json, Seed, Without, echo, parse_budget

if TYPE_CHECKING:
    from harness.explore.campaign import Limits, Progress

DEFAULT_BUDGET = "60s"
REPORT_EVERY_S = 10.0
"""Real seconds between two lines of progress where there is no terminal."""


def fuzz(
    target: Annotated[
        str,
        typer.Argument(
            metavar="SYSTEM|FILE",
            help="A system, or an experiment file: its load, and its gates that are not about its faults.",
        ),
    ],
    budget: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help=f"Real time of the search; {DEFAULT_BUDGET} if not given."),
    ] = None,
    schedules: Annotated[
        int | None, typer.Option(help="How many schedules to try; then there is no budget by default.", min=1)
    ] = None,
    seed: Seed = 1,
    first: Annotated[
        int,
        typer.Option("--first", help="The number of the first trial: continue where a search ended.", min=0),
    ] = 0,
    jobs: Annotated[
        int | None, typer.Option(help="Processes; as many as there are cores if not given.", min=1)
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option("--fault", help="Only this kind of fault; may be given more than once."),
    ] = None,
    max_faults: Annotated[int, typer.Option(help="The most faults of one schedule.", min=1, max=20)] = 4,
    overload: Annotated[
        bool,
        typer.Option("--overload", help="Also all nodes of a role at a time, which no system is made for."),
    ] = False,
    without: Without = None,
    workload: Annotated[
        str | None, typer.Option(help="The workload of a system; its first if not given.")
    ] = None,
    mix: Annotated[str | None, typer.Option(help="The mix of the workload; its first if not given.")] = None,
    arrive: Annotated[
        str | None, typer.Option(metavar="RATE", help="Clients a second; 2/s if not given.")
    ] = None,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="How long they arrive; 30s if not given.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where the experiments of findings are written; experiments/regressions/SYSTEM if not given.",
        ),
    ] = None,
    fifo: Annotated[
        bool, typer.Option("--fifo", help="Only asyncio's own order of ready tasks; otherwise others, too.")
    ] = False,
    exhaustive: Annotated[
        int,
        typer.Option(
            metavar="1|2",
            help="In place of random schedules: 1 tries every single fault, 2 every pair of them, too.",
            min=0,
            max=2,
        ),
    ] = 0,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write JUnit XML, too.", dir_okay=False)
    ] = None,
    findings: Annotated[int, typer.Option(help="End with so many findings.", min=1)] = 20,
    as_json: Json = False,
) -> CommandResult:
    """Search fault schedules in virtual time for violations, shrink them, and keep them as experiments."""
    from harness.cli.commands.run import cores
    from harness.explore.campaign import Limits, search
    from harness.explore.junit import to_junit
    from harness.explore.keep import keep
    from harness.explore.start import Wishes, begin
    from harness.explore.text import document, lines, verdict_of
    from harness.gates.result import EXIT_CODES

    if budget is None and schedules is None and not exhaustive:
        budget = DEFAULT_BUDGET
    limits = Limits(schedules, parse_budget("--budget", budget), findings)
    wishes = Wishes(
        target=target,
        workload=workload,
        mix=mix,
        arrive_per_s=_rate(arrive),
        for_s=parse_budget("--for", for_),
        without=tuple(dict.fromkeys(without or ())),
        faults=tuple(dict.fromkeys(fault or ())),
        max_faults=max_faults,
        overload=overload,
        exhaustive=exhaustive,
        orders=not fifo,
    )
    subject, space, _ = begin(wishes, seed)
    if exhaustive:
        complete = 1 + len(space.enumerated) - first
        limits = replace(limits, schedules=min(complete, schedules or complete))
    echo(f"{target}: {', '.join(choice.fault for choice in space.choices)}; {_until(limits)}")
    with _progress() as report:
        result = search(subject, space, limits, seed=seed, jobs=jobs or cores(), first=first, report=report)
        directory = output or Path("experiments/regressions") / subject.system.name
        kept = [keep(finding, directory) for finding in result.findings]
    echo("", *lines(result, kept))
    verdict = verdict_of(result, kept)
    if junit is not None:
        junit.parent.mkdir(parents=True, exist_ok=True)
        junit.write_text(to_junit(target, result, kept), encoding="utf-8")
    echo(f"{verdict.value.upper()}  exit code {EXIT_CODES[verdict]}")
    return CommandResult(EXIT_CODES[verdict], document(result, kept))


def _rate(text: str | None) -> float | None:
    """Raises UsageError."""
    if text is None:
        return None
    from harness.errors import InvalidValue, UsageError
    from harness.experiment.units import parse_rate

    try:
        rate = parse_rate(text)
    except InvalidValue as error:
        raise UsageError([f"--arrive: {error}"]) from None
    if rate <= 0:
        raise UsageError([f"--arrive {text}: must be > 0/s"])
    return rate


def _until(limits: Limits) -> str:
    parts = [] if limits.schedules is None else [f"{limits.schedules:,} schedules"]
    parts += [] if limits.budget_s is None else [f"{limits.budget_s:g} s"]
    return "until " + " or ".join(parts)


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """Reports how far a search is: one line that changes on a terminal, else a line every 10 seconds."""
    from harness.report.results_table import draws_bars, make_console

    console = make_console()
    if draws_bars(console, os.environ):
        with console.status("0 schedules") as status:
            yield lambda progress: status.update(_progress_text(progress))
        return
    reported_s = time.perf_counter()

    def report(progress: Progress) -> None:
        nonlocal reported_s
        now_s = time.perf_counter()
        if now_s - reported_s >= REPORT_EVERY_S:
            reported_s = now_s
            echo(f"  {_progress_text(progress)}")

    yield report


def _progress_text(progress: Progress) -> str:
    rate = progress.trials / max(progress.elapsed_s, 1e-9)
    shrinking = ", shrinking" if progress.shrinking else ""
    return (
        f"{progress.trials:,} schedules, {rate:.1f}/s, {progress.findings} findings, "
        f"{progress.elapsed_s:.0f} s{shrinking}"
    )
