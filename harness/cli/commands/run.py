from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from harness.cli.command import (
    Budget,
    CommandResult,
    Jobs,
    Json,
    Matching,
    Paths,
    Report,
    Reports,
    Seed,
    Seeds,
    SuiteBudget,
    Tags,
    Var,
    Without,
    echo,
    parse_budget,
    takes_runtime,
)
from harness.runtime.options import RuntimeOptions


@takes_runtime()
def run(
    paths: Paths,
    runtime: RuntimeOptions,
    seed: Seed = 1,
    seeds: Seeds = 1,
    jobs: Jobs = None,
    matching: Matching = "",
    tag: Tags = None,
    var: Var = None,
    without: Without = None,
    budget: Budget = None,
    suite_budget: SuiteBudget = None,
    reports: Reports = Path("reports"),
    report: Report = None,
    as_json: Json = False,
) -> CommandResult:
    """Run experiments, in virtual time or live, and judge them."""
    from harness.cli.matching import Selection
    from harness.cli.selection import load_for
    from harness.engine.suite import run_suite
    from harness.experiment.variables import parse_assignments
    from harness.report.registry import open_reporters
    from harness.verdict.document import suite_document

    loaded, left_out = load_for(
        paths, runtime, Selection(matching, tuple(tag or ())), parse_assignments("--var", var or ())
    )
    with open_reporters(report or ()) as reporters:
        finished = run_suite(
            loaded,
            seeds=range(seed, seed + seeds),
            jobs=jobs or (cores() if runtime.concurrent else 1),
            without=tuple(dict.fromkeys(without or ())),
            reports=writable(reports),
            handlers=reporters.handlers,
            finish=reporters.finish,
            runtime=runtime,
            budget_s=parse_budget("--budget", budget),
            suite_budget_s=parse_budget("--suite-budget", suite_budget),
        )
    for one in left_out:
        echo(one)
    document = suite_document(finished.results, finished.verdict, finished.exit_code)
    if left_out:
        document["left_out"] = [asdict(one) for one in left_out]
    return CommandResult(finished.exit_code, document)


def cores() -> int:
    """How many of the machine's cores this process may use."""
    import os

    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def writable(reports: Path) -> Path:
    """The directory, made if it is not there. Raises UsageError where nothing can be written."""
    import os

    from harness.errors import UsageError

    try:
        reports.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = f"--reports {reports}: cannot be made: {error.strerror}; give another directory"
        raise UsageError([problem]) from error
    if not os.access(reports, os.W_OK | os.X_OK):
        raise UsageError([f"--reports {reports}: cannot be written to; give another directory"])
    return reports
