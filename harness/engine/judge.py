"""The verdict of a run directory, from nothing but what is in it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from harness.faults.catalogue import FAULTS
from harness.history.read import History
from harness.history.write import VERDICT, HistoryError, write_json
from harness.spec.diagnostics import SpecError
from harness.spec.parse import parse_draft, parse_slos
from harness.verdict.document import suite_document
from harness.verdict.judge import Identity, JudgedArm, judge
from harness.verdict.model import EXIT_CODES, ExperimentResult


def judge_run(run: Path) -> ExperimentResult:
    """Judge a run directory (again). Raises HistoryError when it cannot be read."""
    with ExitStack() as stack:
        history = stack.enter_context(History(run))
        environment = history.environment
        try:
            draft = parse_draft(history.experiment_yaml, environment["file"], FAULTS)
            slos, _ = parse_slos(history.slos_yaml, str(environment["slos_file"]))
        except (SpecError, OSError, KeyError) as error:
            raise HistoryError(f"{run}: its experiment cannot be read: {error}") from error
        experiment = draft.experiment
        if experiment is None:
            raise HistoryError(f"{run}: its experiment is not valid: {SpecError(draft.problems)}")
        arms = []
        for arm, place in zip(experiment.arms, environment["arms"], strict=True):
            arm_history = stack.enter_context(History(run / place["directory"]))
            arms.append(JudgedArm(place["name"], arm, arm_history, arm_history.environment["history_sha256"]))
        identity = Identity(
            file=environment["file"],
            seed=environment["seed"],
            run=environment["run"],
            replay=environment["replay"],
            history_sha256=environment["history_sha256"],
            without=tuple(environment["without"]),
        )
        lines = [draft.source.mark(("gates", index)).line for index in range(len(draft.gates))]
        return judge(identity, experiment, slos, history, arms, lines)


def write_verdict(run: Path, result: ExperimentResult) -> None:
    """`verdict.json`: the document of `--json` with this one experiment."""
    write_json(run / VERDICT, suite_document([result], result.verdict, EXIT_CODES[result.verdict]))
