from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.command import (
    CommandResult,
    Jobs,
    Json,
    Matching,
    Report,
    Reports,
    Seeds,
    Tags,
    Var,
    Without,
    echo,
    parse_seeds,
    takes_runtime,
)
from harness.cli.commands.compare import (
    Margin,
    Points,
    compare_directories,
    comparison_document,
    comparison_verdict,
    parse_margins,
    print_comparison,
    run_directories,
)
from harness.cli.commands.run import run_selected
from harness.errors import UsageError
from harness.runtime.options import RuntimeOptions

if TYPE_CHECKING:
    from harness.gates.result import Verdict
    from harness.report.problems import Problem
    from harness.verdict.comparison import ExperimentComparison

Experiments = Annotated[
    list[Path] | None, typer.Argument(metavar="PATHS", help="Experiments to run; none with --run.")
]
Baseline = Annotated[
    Path, typer.Option(help="Runs to compare with: a run directory, a suite's, or one with a link 'latest'.")
]
Finished = Annotated[
    Path | None, typer.Option("--run", help="Judge these finished runs; nothing is run. As --baseline.")
]


@takes_runtime()
def gate(
    runtime: RuntimeOptions,
    baseline: Baseline,
    paths: Experiments = None,
    run: Finished = None,
    margin: Margin = "10%",
    points: Points = "1%",
    seeds: Seeds = None,
    jobs: Jobs = None,
    matching: Matching = "",
    tag: Tags = None,
    var: Var = None,
    without: Without = None,
    reports: Reports = Path("reports"),
    report: Report = None,
    as_json: Json = False,
) -> CommandResult:
    """Run experiments and compare them with a baseline. Without --seeds: the seeds of the baseline.

    Exit 0: every gate holds and none is worse; 1: a gate fails, or is worse by more than the margin with confidence;
    2: cannot tell.
    """
    from harness.cli.matching import Selection
    from harness.engine.suite import Pooling
    from harness.gates.result import EXIT_CODES, worst
    from harness.history.metadata import read_environment

    if bool(paths) == (run is not None):
        raise UsageError(["give experiments to run, or --run with the directory of finished runs"])
    margins = parse_margins(margin, points)
    before = run_directories(baseline)
    if run is not None:
        after = run_directories(run)
        thresholds = _recorded_verdict(after)
    else:
        numbers = tuple(sorted({read_environment(one).seed for one in before}))
        finished, left_out = run_selected(
            paths or (),
            runtime,
            Selection(matching, tuple(tag or ())),
            var or (),
            seeds=numbers if seeds is None else parse_seeds(1, seeds),
            jobs=jobs,
            without=without or (),
            reports=reports,
            report=report or (),
            pooling=Pooling(),
        )
        echo(*left_out)
        names = {one.name for one in left_out}
        before = tuple(one for one in before if read_environment(one).experiment not in names)
        after, thresholds = run_directories(Path(finished.reports)), finished.verdict
    found = compare_directories(before, after, margins)
    verdict = worst([thresholds, comparison_verdict(found)])
    if not as_json:
        print_comparison(found)
        echo(f"thresholds: {thresholds.value}; compared with the baseline: {_describe(found)}")
    if os.environ.get("GITHUB_ACTIONS"):
        _annotate(found)
    code = EXIT_CODES[verdict]
    document = {"verdict": verdict.value, "exit_code": code, "thresholds": thresholds.value}
    return CommandResult(code, {**document, **comparison_document(found)})


def _recorded_verdict(directories: Iterable[Path]) -> Verdict:
    """Of finished runs, judged again; those of one experiment with several seeds as a pool."""
    from harness.engine.judge import judge_directory, judge_pool
    from harness.gates.result import worst
    from harness.verdict.pool import counted_results

    results = [judge_directory(one) for one in directories]
    by_name: dict[str, list[int]] = {}
    for index, result in enumerate(results):
        by_name.setdefault(result.name, []).append(index)
    pooled = [judge_pool([results[i] for i in same]) for same in by_name.values() if len(same) > 1]
    return worst(one.verdict for one in counted_results(results, pooled))


def _describe(found: Iterable[ExperimentComparison]) -> str:
    from harness.verdict.comparison import Change

    changes = [gate.change for one in found for gate in one.gates]
    changes += [Change.UNKNOWN for one in found for _ in one.problems]
    return ", ".join(f"{changes.count(one)} {one.value}" for one in Change if one in changes) or "nothing"


def _annotate(found: Iterable[ExperimentComparison]) -> None:
    """Annotations on the gates that are worse or cannot be told."""
    from harness.report.reporters.github import annotate

    for line in annotate(tuple(_problems(found))):
        print(line)


def _problems(found: Iterable[ExperimentComparison]) -> Iterator[Problem]:
    from harness.gates.result import Verdict
    from harness.report.problems import Problem

    for one in found:
        for gate in one.gates:
            if gate.result.verdict is not Verdict.PASSED:
                subject = f"{gate.name} ({gate.change.value})"
                line = gate.result.line
                yield Problem(one.name, subject, gate.result.verdict, one.file, line, gate.result.reason, ())
        for problem in one.problems:
            yield Problem(one.name, "comparison", Verdict.INCONCLUSIVE, one.file, None, problem, ())
