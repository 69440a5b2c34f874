from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.command import CommandResult, Json, echo

if TYPE_CHECKING:
    from harness.verdict.error_budget import ErrorBudget, Spent

Directories = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[REPORTS...]",
        help="Directories with runs, searched as a whole: a run, a suite, many suites; ./reports if none is given.",
    ),
]
Since = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d"], metavar="DATE", help="Only suites that began on this day (UTC) or later."
    ),
]


def budget(directories: Directories = None, since: Since = None, as_json: Json = False) -> CommandResult:
    """The error budget of each SLO over recorded runs: allowed, used, left.

    Exit 1 when one is exceeded, 2 when runs are left out: they were altered, broke or cannot be read.
    """
    from harness.errors import EXIT_EMPTY, EXIT_FAILED, EXIT_INCONCLUSIVE, EXIT_PASSED, HarnessError
    from harness.text import display_path, plural
    from harness.verdict.error_budget import budget_of_run, error_budgets
    from harness.verdict.recorded import RecordedRun

    spent, seen, repeated, left_out = [], set[str](), 0, list[str]()
    for directory in _runs(directories or [Path("reports")], since):
        try:
            with RecordedRun(directory) as run:
                if run.alterations:
                    left_out.append(f"{display_path(directory)}: {'; '.join(run.alterations)}")
                elif run.metadata.failures:
                    left_out.append(f"{display_path(directory)}: {run.metadata.failures[0]}")
                elif run.environment.history_sha256 in seen:
                    repeated += 1  # the same clients again: they are no more evidence
                else:
                    seen.add(run.environment.history_sha256)
                    spent.append((run.environment.experiment, budget_of_run(run)))
        except HarnessError as error:
            left_out.append(str(error))
    budgets = error_budgets(spent)
    exceeded = any(one.total.left < 0 for one in budgets)
    document = {
        "runs": len(spent),
        "repeated": repeated,
        "left_out": left_out,
        "budgets": [
            {
                "slo": one.slo,
                **_document(one.total),
                "experiments": [
                    {"experiment": name, **_document(part)} for name, part in one.experiments.items()
                ],
            }
            for one in budgets
        ],
    }
    if not as_json:
        echo(*_table(budgets))
        if repeated:
            echo(f"{plural(repeated, 'run')} with the history of another run: counted once")
        echo(*(f"left out: {reason}" for reason in left_out))
        if not budgets:
            echo("no run with an SLO was found")
    code = EXIT_FAILED if exceeded else EXIT_INCONCLUSIVE if left_out else EXIT_PASSED
    return CommandResult(code if spent or left_out else EXIT_EMPTY, document)


def _runs(directories: Sequence[Path], since: datetime | None) -> Iterator[Path]:
    """Run directories in the order of their paths, each once; arms of runs and unfinished ones are none."""
    from harness.engine.rundir import ARMS
    from harness.errors import UsageError
    from harness.history.files import METADATA

    found = set()
    for directory in directories:
        if not directory.is_dir():
            raise UsageError([f"{directory}: no such directory"])
        for file in sorted(directory.resolve().rglob(METADATA)):
            run = file.parent
            hidden = any(part.startswith(".") for part in run.relative_to(directory.resolve()).parts)
            if run in found or run.parent.name == ARMS or hidden:
                continue
            found.add(run)
            # The directory of a suite is called by the moment at which it began (`suite_stamp`).
            if since is None or run.parent.name[:8] >= since.strftime("%Y%m%d"):
                yield run


def _document(spent: Spent) -> dict[str, Any]:
    return {
        "runs": spent.runs,
        "samples": spent.samples,
        "allowed": round(spent.allowed, 3),
        "used": spent.used,
        "missing": spent.missing,
        "left": round(spent.left, 3),
        "share_used": None if spent.share_used is None else round(spent.share_used, 4),
    }


def _table(budgets: Sequence[ErrorBudget]) -> Iterator[str]:
    from harness.sli.formatting import number

    if not budgets:
        return
    rows = [("SLO", "RUNS", "SAMPLES", "ALLOWED", "USED", "LEFT", "USED OF ALLOWED")]
    for one in budgets:
        for name, spent in ((one.slo, one.total), *((f"  {n}", s) for n, s in one.experiments.items())):
            share = "-" if spent.share_used is None else f"{100 * spent.share_used:,.0f}%"
            left = f"{'-' if spent.left < 0 else ''}{number(round(abs(spent.left), 1))}"
            used = f"{spent.used:,}" + (f" ({spent.missing:,} missing)" if spent.missing else "")
            exceeded = " exceeded" if spent.left < 0 else ""
            allowed = number(round(spent.allowed, 1))
            rows.append(
                (name, f"{spent.runs:,}", f"{spent.samples:,}", allowed, used, left, share + exceeded)
            )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        first, *rest = (
            f"{cell:<{width}}" if column == 0 else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join([first, *rest])
