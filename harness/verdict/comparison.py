"""`compare_runs`: for each gate whether its SLI is worse in one set of runs than in another, with confidence.

With the same seed a client does the same on both sides (common random numbers), so the difference is paired by client
and far better known than either side. What cannot be compared is a problem and never counts as no worse.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.errors import HarnessError
from harness.gates.base import Gate, Objective
from harness.gates.comparison import RELATIVE, Side, compare_pooled, margin_unit
from harness.gates.names import gate_names
from harness.gates.result import GateResult, Verdict, worst
from harness.gates.slo_based import SloBasedGate
from harness.history.read import History
from harness.sli.query import EVERYTHING, Window
from harness.sli.threshold import Threshold
from harness.verdict.recorded import RecordedRun

CONFIDENCE = 0.975
"""Of each of the two bounds, so that the interval has 95 %."""


class Change(StrEnum):
    """How an SLI differs from the baseline. ALIKE: worse by no more than the margin."""

    WORSE = "worse"
    BETTER = "better"
    ALIKE = "alike"
    UNKNOWN = "cannot tell"


_VERDICTS = {Change.WORSE: Verdict.FAILED, Change.UNKNOWN: Verdict.INCONCLUSIVE}


@dataclass(frozen=True, slots=True)
class Margins:
    """The smallest effect that counts: of a percentile as a share of the baseline's, of a ratio in share points."""

    relative: float = 0.1
    points: float = 0.01

    def of(self, objective: Objective) -> Threshold:
        if margin_unit(objective.threshold) == "share":
            return Threshold(self.points, "share")
        return Threshold(self.relative, RELATIVE)


@dataclass(frozen=True, slots=True)
class GateComparison:
    """The SLI of one gate on both sides. Of `result`: `value` is the difference, larger is worse; `interval` its 95 %
    interval; `threshold` the margin."""

    name: str
    change: Change
    result: GateResult


@dataclass(frozen=True, slots=True)
class ExperimentComparison:
    """One experiment. `seeds`: on both sides, or of both sides where they share none.

    `problems`: what cannot be compared; each makes it UNKNOWN. `notes`: what differs besides.
    """

    name: str
    file: str
    seeds: tuple[int, ...]
    gates: tuple[GateComparison, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """FAILED: a gate is worse. INCONCLUSIVE: one cannot be told, or there is none."""
        found = [_VERDICTS.get(gate.change, Verdict.PASSED) for gate in self.gates]
        return worst([*found, Verdict.INCONCLUSIVE] if self.problems else found)


def compare_runs(
    first: Sequence[RecordedRun], second: Sequence[RecordedRun], margins: Margins = Margins()
) -> tuple[ExperimentComparison, ...]:
    """Each experiment of either side. `first` is the baseline. Raises HistoryError for a run that cannot be read."""
    names = dict.fromkeys(run.environment.experiment for run in (*first, *second))
    return tuple(
        _compare_experiment(
            name,
            [run for run in first if run.environment.experiment == name],
            [run for run in second if run.environment.experiment == name],
            margins,
        )
        for name in names
    )


def _compare_experiment(
    name: str, first: list[RecordedRun], second: list[RecordedRun], margins: Margins
) -> ExperimentComparison:
    file = (second or first)[0].environment.file
    problems, notes = list[str](), list[str]()
    seeds = tuple(sorted({run.environment.seed for run in first} & {run.environment.seed for run in second}))
    if not first or not second:
        problems = ["not in the baseline" if second else "in the baseline only"]
        return ExperimentComparison(name, file, (), (), tuple(problems))
    if seeds:
        for side, runs in (("the baseline", first), ("the new runs", second)):
            if others := sorted({run.environment.seed for run in runs} - {*seeds}):
                notes.append(f"seeds in {side} only are not compared: {', '.join(map(str, others))}")
        first, second = ([r for r in side if r.environment.seed in seeds] for side in (first, second))
    else:
        notes.append("no seed is on both sides: clients are not paired, so the intervals are wider")
        seeds = tuple(sorted({run.environment.seed for run in (*first, *second)}))
    problems += _problems(first, second)
    if problems:
        return ExperimentComparison(name, file, seeds, (), tuple(problems), tuple(notes))
    before, after = first[0], second[0]
    if before.experiment.load != after.experiment.load:
        notes.append("the load differs")
    if before.environment.without != after.environment.without:
        notes.append("the safeguards that are switched off differ")
    names = gate_names(after.experiment.gates)
    removed = set(gate_names(before.experiment.gates)) - {*names}
    problems += [f"the gate '{one}' is in the baseline only" for one in sorted(removed)]
    gates = tuple(
        _compare_gate(gate, gate_name, line, first, second, margins)
        for gate, gate_name, line in zip(after.experiment.gates, names, after.gate_lines, strict=True)
        if gate.objective(after.slos) is not None
    )
    if not gates:
        problems.append("no gate is about an SLI, so there is nothing to compare")
    return ExperimentComparison(name, file, seeds, gates, tuple(problems), tuple(notes))


def _problems(first: Sequence[RecordedRun], second: Sequence[RecordedRun]) -> Iterator[str]:
    for side, runs in (("the baseline", first), ("the new runs", second)):
        if len({run.environment.seed for run in runs}) < len(runs):
            yield f"a seed is more than once in {side}"
        for run in runs:
            where = f"seed {run.environment.seed} in {side}"
            if run.alterations:
                yield f"{where} was altered: {'; '.join(run.alterations)}"
            if run.metadata.failures:
                yield f"{where} broke: {run.metadata.failures[0]}"
            if run.metadata.stopped is not None:
                yield f"{where} was stopped before its end"
    for what in ("system", "runtime"):
        found = [{getattr(run.environment, what) for run in runs} for runs in (first, second)]
        if found[0] != found[1] or len(found[0]) > 1:
            sides = [", ".join(sorted(map(str, side))) for side in found]
            yield f"the {what} differs: {sides[0]} in the baseline, {sides[1]} in the new runs"


def _compare_gate(
    gate: Gate,
    name: str,
    line: int,
    first: Sequence[RecordedRun],
    second: Sequence[RecordedRun],
    margins: Margins,
) -> GateComparison:
    objective = gate.objective(second[0].slos)
    assert objective is not None
    margin = margins.of(objective)
    try:
        result = compare_pooled(
            name,
            objective,
            margin,
            [Side("in the baseline", run.main, _window(gate, run.main)) for run in first],
            [Side("now", run.main, _window(gate, run.main)) for run in second],
            CONFIDENCE,
        )
    except HarnessError as error:
        reason = f"cannot be compared: {error}"
        result = GateResult(
            name=name, verdict=Verdict.INCONCLUSIVE, reason=reason, value=None, interval=None,
            threshold=None, unit="", samples=0,
        )  # fmt: skip
    hashes = [
        {run.environment.seed: run.environment.history_sha256 for run in side} for side in (first, second)
    ]
    if result.samples and hashes[0] == hashes[1]:
        # Nothing that was recorded differs: no sampling error is left.
        result = replace(
            result,
            verdict=Verdict.PASSED,
            value=0.0,
            interval=(0.0, 0.0),
            reason="the histories are identical",
        )
    return GateComparison(
        name, _change(result), replace(result, slo=gate.slo_name, line=line, confidence=0.95)
    )


def _window(gate: Gate, history: History) -> Window:
    """Which rows the gate counts; all of them for a gate without a window of its own."""
    if isinstance(gate, SloBasedGate) and type(gate).window is not SloBasedGate.window:
        return gate.window(history)
    return EVERYTHING


def _change(result: GateResult) -> Change:
    if result.verdict is Verdict.FAILED:
        return Change.WORSE
    if result.verdict is not Verdict.PASSED:
        return Change.UNKNOWN
    if result.interval is None or result.value is None or result.threshold is None:
        return Change.ALIKE
    is_better = result.interval[1] < 0 and result.value < -result.threshold
    return Change.BETTER if is_better else Change.ALIKE
