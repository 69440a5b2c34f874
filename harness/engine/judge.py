"""The verdict of a run directory, from nothing but what is in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from harness.engine.rundir import altered_run
from harness.errors import ExperimentError
from harness.experiment.parse import parse_draft, parse_slos
from harness.faults.catalogue import FAULTS
from harness.gates.result import EXIT_CODES, Verdict
from harness.history.read import History
from harness.history.write import VERDICT, HistoryError, json_text
from harness.verdict.differences import differences
from harness.verdict.document import suite_document
from harness.verdict.judge import Identity, JudgedArm, judge
from harness.verdict.model import ExperimentResult


@dataclass(frozen=True, slots=True)
class Rejudged:
    """A run judged again. `altered`: what is not as it was recorded. `recorded`: whether it had a verdict.

    `differences`: how the verdict computed now is not the one that is there; empty when both are the same
    to the byte, and when there is none.
    """

    result: ExperimentResult
    altered: tuple[str, ...]
    recorded: bool
    differences: tuple[str, ...]


def judge_run(run: Path) -> ExperimentResult:
    """Judge a run directory (again). A history that is not what was recorded is an error, whatever it holds.

    Raises HistoryError when it cannot be read.
    """
    return _judged(run)[0]


def rejudge(run: Path) -> Rejudged:
    """Judge a run again and hold it beside the verdict that it has. Writes nothing. Raises HistoryError."""
    result, altered = _judged(run)
    file = run / VERDICT
    before = file.read_bytes() if file.is_file() else None
    now = verdict_text(result)
    return Rejudged(result, altered, before is not None, () if before is None else _differences(before, now))


def write_verdict(run: Path, result: ExperimentResult) -> None:
    """`verdict.json`: the document of `--json` with this one experiment."""
    (run / VERDICT).write_text(verdict_text(result), encoding="utf-8")


def verdict_text(result: ExperimentResult) -> str:
    return json_text(suite_document([result], result.verdict, EXIT_CODES[result.verdict]))


def _judged(run: Path) -> tuple[ExperimentResult, tuple[str, ...]]:
    with ExitStack() as stack:
        history = stack.enter_context(History(run))
        environment = history.environment
        altered = altered_run(run)
        try:
            draft = parse_draft(history.experiment_yaml, environment["file"], FAULTS)
            slos, _ = parse_slos(history.slos_yaml, str(environment["slos_file"]))
        except (ExperimentError, OSError, KeyError) as error:
            raise HistoryError(f"{run}: its experiment cannot be read: {error}{_but(altered)}") from error
        experiment = draft.experiment
        if experiment is None:
            raise HistoryError(
                f"{run}: its experiment is not valid: {ExperimentError(draft.problems)}{_but(altered)}"
            )
        if len(experiment.arms) != len(environment["arms"]):
            raise HistoryError(
                f"{run}: its experiment has {len(experiment.arms)} arms, and {len(environment['arms'])} were run"
                + _but(altered)
            )
        arms = []
        for arm, place in zip(experiment.arms, environment["arms"], strict=True):
            arm_history = stack.enter_context(History(run / place["directory"]))
            arms.append(JudgedArm(place["name"], arm, arm_history, arm_history.history_sha256))
        identity = Identity(
            file=environment["file"],
            seed=environment["seed"],
            run=environment["run"],
            replay=environment["replay"],
            history_sha256=environment["history_sha256"],
            without=tuple(environment["without"]),
        )
        lines = [draft.source.mark(("gates", index)).line for index in range(len(draft.gates))]
        result = judge(identity, experiment, slos, history, arms, lines)
    if altered:
        reason = f"its history is not what was recorded: {'; '.join(altered)} (judged {result.verdict.value})"
        result = replace(result, verdict=Verdict.ERROR, reason=reason)
    return result, altered


def _but(altered: Sequence[str]) -> str:
    return f" ({'; '.join(altered)} since it was recorded)" if altered else ""


def _differences(before: bytes, now: str) -> tuple[str, ...]:
    if before == now.encode():
        return ()
    try:
        found = tuple(differences(json.loads(before), json.loads(now)))
    except ValueError:
        return (f"{VERDICT} is not JSON",)
    return found or (f"{VERDICT} says the same in other bytes",)
