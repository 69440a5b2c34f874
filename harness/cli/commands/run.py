from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.command import (
    DEFAULT_MAX_SEEDS,
    Budget,
    CheckDeterminism,
    CommandResult,
    Confidence,
    Jobs,
    Json,
    Matching,
    MaxSeeds,
    OwnSeed,
    Paths,
    Report,
    Reports,
    Seeds,
    SuiteBudget,
    Tags,
    UntilDecided,
    Var,
    Without,
    echo,
    given_seeds,
    parse_budget,
    parse_confidence,
    takes_runtime,
)
from harness.runtime.options import RuntimeOptions
from harness.text import plural

if TYPE_CHECKING:
    from harness.cli.matching import Selection
    from harness.cli.selection import LeftOut
    from harness.engine.events import SuiteFinished
    from harness.engine.suite import Pooling


@takes_runtime()
def run(
    paths: Paths,
    runtime: RuntimeOptions,
    seed: OwnSeed = None,
    seeds: Seeds = None,
    until_decided: UntilDecided = False,
    max_seeds: MaxSeeds = None,
    confidence: Confidence = None,
    jobs: Jobs = None,
    matching: Matching = "",
    tag: Tags = None,
    var: Var = None,
    without: Without = None,
    budget: Budget = None,
    suite_budget: SuiteBudget = None,
    reports: Reports = Path("reports"),
    report: Report = None,
    check_determinism: CheckDeterminism = False,
    as_json: Json = False,
) -> CommandResult:
    """Run experiments, in virtual time or live, and judge them."""
    from harness.cli.matching import Selection
    from harness.engine.suite import Pooling
    from harness.errors import UsageError
    from harness.gates.result import EXIT_CODES, Verdict
    from harness.verdict.document import suite_document

    if check_determinism and not runtime.deterministic:
        raise UsageError([f"--check-determinism: --runtime {runtime.name} never repeats exactly; use sim"])
    if max_seeds is not None and (seeds is not None or not until_decided):
        raise UsageError(["--max-seeds needs --until-decided, and no --seeds"])
    if until_decided and seeds is None:
        seeds = str(max_seeds or DEFAULT_MAX_SEEDS)
    numbers = given_seeds(seed, seeds)
    pooling = Pooling(parse_confidence(confidence), until_decided)
    finished, left_out = run_selected(
        paths,
        runtime,
        Selection(matching, tuple(tag or ())),
        var or (),
        seeds=numbers,
        jobs=jobs,
        without=without or (),
        reports=reports,
        report=report or (),
        budget_s=parse_budget("--budget", budget),
        suite_budget_s=parse_budget("--suite-budget", suite_budget),
        pooling=pooling,
    )
    for one in left_out:
        echo(one)
    document = suite_document(finished.results, finished.verdict, finished.exit_code, finished.pooled)
    if left_out:
        document["left_out"] = [asdict(one) for one in left_out]
    code = finished.exit_code
    if check_determinism:
        numbers = tuple(dict.fromkeys(result.seed for result in finished.results))
        options = [f"--seeds={','.join(f'{number}-{number}' for number in numbers)}"]
        options += ["-k", matching] if matching else []
        for name, values in (("tag", tag), ("var", var), ("without", without)):
            options += [f"--{name}={value}" for value in values or ()]
        for name, value in (("jobs", jobs), ("budget", budget)):
            options += [] if value is None else [f"--{name}={value}"]
        differences = check_repeats([*map(str, paths), *options], finished)
        document["differences"] = differences
        code = EXIT_CODES[Verdict.ERROR] if differences else code
        document["exit_code"] = code
    return CommandResult(code, document)


def check_repeats(arguments: list[str], finished: SuiteFinished) -> list[str]:
    """Run it again under other conditions; print what differs, and return it."""
    from harness.engine.repeat import repeat_elsewhere

    results = [result for result in finished.results if result.history_sha256]
    differences = [str(one) for one in repeat_elsewhere(arguments, results)]
    echo(*(f"NOT deterministic: {one}" for one in differences))
    if not differences:
        echo(f"deterministic: {plural(len(results), 'run')} repeated exactly under other conditions")
    return differences


def run_selected(
    paths: Sequence[Path],
    runtime: RuntimeOptions,
    selection: Selection,
    variables: Sequence[str],
    *,
    seeds: Sequence[int] | None,
    jobs: int | None,
    without: Sequence[str],
    reports: Path,
    report: Sequence[str],
    pooling: Pooling,
    budget_s: float | None = None,
    suite_budget_s: float | None = None,
) -> tuple[SuiteFinished, tuple[LeftOut, ...]]:
    """Load, run and report the experiments that are selected; also those that are left out."""
    from harness.cli.selection import load_for
    from harness.engine.suite import run_suite
    from harness.experiment.variables import parse_assignments
    from harness.report.registry import open_reporters

    loaded, left_out = load_for(paths, runtime, selection, parse_assignments("--var", variables))
    with open_reporters(report) as reporters:
        finished = run_suite(
            loaded,
            seeds=seeds,
            jobs=jobs or (cores() if runtime.concurrent else 1),
            without=tuple(dict.fromkeys(without)),
            reports=writable(reports),
            handlers=reporters.handlers,
            finish=reporters.finish,
            runtime=runtime,
            budget_s=budget_s,
            suite_budget_s=suite_budget_s,
            pooling=pooling,
        )
    return finished, left_out


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
