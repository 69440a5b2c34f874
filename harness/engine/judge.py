"""The verdict of a run directory, from nothing but what is in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from harness.gates.result import EXIT_CODES, Verdict
from harness.history.files import VERDICT
from harness.history.metadata import HistoryError
from harness.history.write import json_text
from harness.sli.statistics import CONFIDENCE
from harness.verdict.differences import differences
from harness.verdict.document import suite_document
from harness.verdict.judge import judge
from harness.verdict.model import ExperimentResult, PooledResult
from harness.verdict.pool import BROKEN, pool
from harness.verdict.recorded import RecordedRun


@dataclass(frozen=True, slots=True)
class Rejudged:
    """A run judged again. `altered`: what is not as it was recorded. `recorded`: whether it had a verdict.

    `differences`: how the verdict computed now differs from the one in the directory; empty when both are the
    same to the byte, and when there is none.
    """

    result: ExperimentResult
    altered: tuple[str, ...]
    recorded: bool
    differences: tuple[str, ...]


def judge_run(run: RecordedRun) -> ExperimentResult:
    """Judge a recorded run. A history that is not what was recorded is an error, whatever it holds.

    Raises HistoryError when it cannot be read.
    """
    result = judge(run.experiment, run.slos, run.main, run.arms, run.gate_lines, run.control)
    if not run.alterations:
        return result
    reason = (
        f"the history is not what was recorded: {'; '.join(run.alterations)} (judged {result.verdict.value})"
    )
    return replace(result, verdict=Verdict.ERROR, reason=reason)


def rejudge(directory: Path) -> Rejudged:
    """Judge a run again and compare with its verdict.json. Writes nothing. Raises HistoryError."""
    with RecordedRun(directory) as run:
        result, altered = judge_run(run), run.alterations
    file = directory / VERDICT
    before = file.read_bytes() if file.is_file() else None
    now = verdict_text(result)
    return Rejudged(result, altered, before is not None, () if before is None else _differences(before, now))


def judge_pool(
    results: Sequence[ExperimentResult], *, confidence: float = CONFIDENCE, looks: int = 1
) -> PooledResult:
    """The pooled verdict of one experiment, from the run directories of its seeds.

    Raises HistoryError when one cannot be read, or they are not runs of the same thing.
    """
    with ExitStack() as stack:
        runs = [
            stack.enter_context(RecordedRun(result.run))
            for result in results
            if result.history_sha256 and result.verdict not in BROKEN
        ]
        if len({_what_ran(run) for run in runs}) > 1:
            raise HistoryError(
                f"the runs of {results[0].name} cannot be judged together: experiment, SLOs, safeguards or runtime "
                "differ"
            )
        return pool(results, runs, confidence=confidence, looks=looks)


def _what_ran(run: RecordedRun) -> tuple[object, ...]:
    about = run.environment
    return run.experiment_yaml, run.slos_yaml, about.without, about.runtime, about.system


def judge_directory(directory: Path | str) -> ExperimentResult:
    """The verdict of a run directory, computed from what it recorded. Raises HistoryError when it cannot be read."""
    return rejudge(Path(directory)).result


def write_verdict(directory: Path, result: ExperimentResult) -> None:
    """`verdict.json`: the document of `--json` with this one experiment."""
    (directory / VERDICT).write_text(verdict_text(result), encoding="utf-8")


def verdict_text(result: ExperimentResult) -> str:
    return json_text(suite_document([result], result.verdict, EXIT_CODES[result.verdict]))


def _differences(before: bytes, now: str) -> tuple[str, ...]:
    if before == now.encode():
        return ()
    try:
        found = tuple(differences(json.loads(before), json.loads(now)))
    except ValueError:
        return (f"{VERDICT} is not JSON",)
    return found or (f"{VERDICT} has the same content in other bytes",)
