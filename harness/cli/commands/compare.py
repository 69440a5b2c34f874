from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.command import CommandResult, Json, echo
from harness.errors import UsageError
from harness.text import display_path

if TYPE_CHECKING:
    from harness.gates.result import Verdict
    from harness.verdict.comparison import ExperimentComparison, Margins

Margin = Annotated[
    str,
    typer.Option(metavar="SHARE", help="How much worse a duration is still alike, relative to the baseline."),
]
Points = Annotated[
    str, typer.Option(metavar="SHARE", help="How much worse a ratio is still alike, in percentage points.")
]
First = Annotated[
    Path, typer.Argument(metavar="BASELINE", help="A run directory, a suite's, or one with a link 'latest'.")
]
Second = Annotated[Path, typer.Argument(metavar="NEW", help="What is compared with it: the same.")]


def compare(
    first: First, second: Second, margin: Margin = "10%", points: Points = "1%", as_json: Json = False
) -> CommandResult:
    """Compare the SLIs of two sets of runs, paired by client over the same seeds.

    Exit 0: no gate is worse by more than the margin; 1: one is, with confidence; 2: cannot tell.
    """
    from harness.gates.result import EXIT_CODES

    found = compare_directories(
        run_directories(first), run_directories(second), parse_margins(margin, points)
    )
    verdict = comparison_verdict(found)
    if not as_json:
        print_comparison(found)
    code = EXIT_CODES[verdict]
    return CommandResult(code, {"verdict": verdict.value, "exit_code": code, **comparison_document(found)})


def parse_margins(margin: str, points: str) -> Margins:
    """Raises UsageError."""
    from harness.errors import InvalidValue
    from harness.experiment.units import parse_ratio
    from harness.verdict.comparison import Margins

    found = []
    for option, text in (("--margin", margin), ("--points", points)):
        try:
            value = parse_ratio(text)
        except InvalidValue as error:
            raise UsageError([f"{option}: {error}"]) from None
        if not value > 0:
            raise UsageError([f"{option} {text}: must be > 0%"])
        found.append(value)
    return Margins(*found)


def run_directories(directory: Path) -> tuple[Path, ...]:
    """The runs: the directory itself, those in it, or those of its latest suite.

    Raises UsageError where it is no directory, NothingSelected where it holds no run.
    """
    from harness.cli.selection import NothingSelected
    from harness.engine.rundir import LATEST
    from harness.history.files import ENVIRONMENT

    if not directory.is_dir():
        raise UsageError([f"{display_path(directory)}: no such directory"])
    # Resolved: a later run moves the link.
    for one in (directory.resolve(), (directory / LATEST).resolve()):
        if (one / ENVIRONMENT).is_file():
            return (one,)
        if found := sorted(file.parent for file in one.glob(f"[!.]*/{ENVIRONMENT}")):
            return tuple(found)
    raise NothingSelected(f"found no run in {display_path(directory)}")


def compare_directories(
    first: Iterable[Path], second: Iterable[Path], margins: Margins
) -> tuple[ExperimentComparison, ...]:
    """Raises HistoryError for a run that cannot be read."""
    from harness.verdict.comparison import compare_runs
    from harness.verdict.recorded import RecordedRun

    with ExitStack() as stack:
        sides = [[stack.enter_context(RecordedRun(one)) for one in side] for side in (first, second)]
        return compare_runs(sides[0], sides[1], margins)


def comparison_verdict(found: Sequence[ExperimentComparison]) -> Verdict:
    from harness.gates.result import worst

    return worst(one.verdict for one in found)


def print_comparison(found: Iterable[ExperimentComparison]) -> None:
    for one in found:
        echo(*_lines(one))


def _lines(one: ExperimentComparison) -> Iterator[str]:
    seeds = f" (seed {', '.join(map(str, one.seeds))})" if one.seeds else ""
    yield f"{one.name}{seeds}"
    for gate in one.gates:
        yield f"  {gate.change.value:<12} {gate.name}: {gate.result.reason}"
    for problem in one.problems:
        yield f"  {'cannot tell':<12} {problem}"
    for note in one.notes:
        yield f"  note: {note}"


def comparison_document(found: Iterable[ExperimentComparison]) -> dict[str, Any]:
    """`{"comparison": [...]}`, of plain JSON values."""
    return {
        "comparison": [
            {
                "experiment": one.name,
                "file": one.file,
                "verdict": one.verdict.value,
                "seeds": list(one.seeds),
                "problems": list(one.problems),
                "notes": list(one.notes),
                "gates": [
                    {
                        "gate": gate.name,
                        "slo": gate.result.slo,
                        "line": gate.result.line,
                        "change": gate.change.value,
                        "reason": gate.result.reason,
                        "effect": gate.result.value,
                        "interval": None if gate.result.interval is None else list(gate.result.interval),
                        "margin": gate.result.threshold,
                        "unit": gate.result.unit,
                        "samples": gate.result.samples,
                    }
                    for gate in one.gates
                ],
            }
            for one in found
        ]
    }
