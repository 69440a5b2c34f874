"""From histories to a verdict: the main run, its ablation arms, and what both come to. Pure but for reading.

The order of doubt (docs/verdicts.md): what broke is an error; a steady state that was not there before makes
all that follows inconclusive, failures too; then a breach is a failure; then what is not sure is inconclusive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.experiment.model import EventGate, Experiment, RecoveredGate, Slo, SloGate
from harness.gates.judgement import judge_gate, judge_invariant
from harness.gates.names import gate_names
from harness.gates.result import GateResult, Verdict, worst
from harness.gates.slo import judge_slo
from harness.history.read import History
from harness.sli.formatting import fault_in_force
from harness.sli.query import windows
from harness.verdict.arms import judge_arm
from harness.verdict.faults import judge_fault, what_broke
from harness.verdict.model import ArmResult, ExperimentResult, FaultResult
from harness.verdict.recorded import RecordedArm
from harness.workload.records import LATE_S


def judge(
    experiment: Experiment,
    slos: Mapping[str, Slo],
    history: History,
    arms: Sequence[RecordedArm],
    gate_lines: Sequence[int | None] = (),
) -> ExperimentResult:
    """The result of one run. `gate_lines`: where each gate stands in the experiment file.

    An arm of the experiment without a history makes the result inconclusive: it was not run.
    """
    lines = [*gate_lines, *[None] * len(experiment.gates)]
    names = gate_names(experiment.gates)
    gates = [
        result
        for gate, name, line in zip(experiment.gates, names, lines, strict=False)
        for result in judge_gate(history, gate, slos, line, name)
    ]
    gates += [judge_invariant(history, invariant) for invariant in history.metadata.invariants]
    faults = [judge_fault(record) for record in history.metadata.faults]
    steady = steady_state(history, experiment, slos)
    arm_results = tuple(judge_arm(arm, experiment, slos, history) for arm in arms)
    verdict, reason = _combine(history, experiment, gates, faults, steady, arm_results)
    environment = history.environment
    return ExperimentResult(
        name=experiment.experiment,
        title=experiment.title,
        file=environment.file,
        verdict=verdict,
        reason=reason,
        seed=environment.seed,
        run=environment.run,
        history_sha256=environment.history_sha256,
        replay=environment.replay,
        gates=tuple(gates),
        faults=tuple(faults),
        arms=arm_results,
        steady_state=tuple(steady),
        without=environment.without,
        notes=(*history.metadata.failures, *_notes(history)),
    )


def _notes(history: History) -> list[str]:
    """What did not decide the verdict, and a reader should know all the same."""
    statistics = history.metadata.statistics
    notes = []
    if left := statistics.get("asked_to_leave"):
        notes.append(
            f"{left:,} of {statistics.get('clients', left):,} clients were still there at the end of the drain "
            "and were sent away; what they did not report by then is missing"
        )
    starts = statistics.get("load", {}).get("starts", {})
    if late := starts.get("late"):
        notes.append(
            f"{late:,} of {starts['sessions']:,} clients began more than {LATE_S:g} s after their time, at most "
            f"{starts['most_s']:.3g} s: whatever brings them was too busy"
        )
    for error in statistics.get("broken_since_s", {}):
        count = statistics["unhandled_errors"].get(error, 1)
        if not any(failure.startswith(error) for failure in history.metadata.failures):
            notes.append(f"nobody handled: {error} ({count:,} times)")
    return notes


def steady_state(history: History, experiment: Experiment, slos: Mapping[str, Slo]) -> list[GateResult]:
    """Every SLO of the gates, on what was determined before the first fault; nothing without faults.

    The few samples of that time cannot claim an SLO; they must be there, and must not refute it. Such a
    result is given as passed, with its interval.
    """
    if not experiment.timeline:
        return []
    # An SLO once, whatever its gates are called and whenever they look.
    stated: dict[tuple[str | float | None, ...], SloGate] = {}
    for gate in experiment.gates:
        if isinstance(gate, EventGate):
            continue
        slo = gate.recovered if isinstance(gate, RecoveredGate) else gate.slo
        stated.setdefault(
            (slo, gate.where, gate.target, gate.at_most),
            # Not validated again: what it holds is parsed already.
            SloGate.model_construct(
                slo=slo, where=gate.where, target=gate.target, at_most=gate.at_most, during="all"
            ),
        )
    gates = tuple(stated.values())
    before = windows(history)["before"]
    return [
        replace(_not_refuted(result), kind="steady-state")
        for gate, name in zip(gates, gate_names(gates), strict=True)
        for result in judge_slo(history, gate, slos, before, name)
    ]


def _not_refuted(result: GateResult) -> GateResult:
    if result.verdict is not Verdict.INCONCLUSIVE:
        return result
    if not result.samples:
        return replace(result, reason="no samples before the first fault: begin it later, or widen 'where'")
    return replace(
        result,
        verdict=Verdict.PASSED,
        needs=None,
        reason=f"not refuted by {result.samples:,} samples before the first fault",
    )


def _combine(
    history: History,
    experiment: Experiment,
    gates: Sequence[GateResult],
    faults: Sequence[FaultResult],
    steady: Sequence[GateResult],
    arms: Sequence[ArmResult],
) -> tuple[Verdict, str]:
    if (broke := what_broke(history.metadata, faults)) is not None:
        return Verdict.ERROR, broke
    for result in (*gates, *steady):
        if result.verdict is Verdict.ERROR:
            return Verdict.ERROR, f"{result.name}: {result.reason}"
    if len(faults) < len(experiment.timeline):
        return (
            Verdict.ERROR,
            f"only {len(faults)} of {len(experiment.timeline)} faults of the timeline are in the history",
        )
    for arm in arms:
        if arm.verdict is Verdict.ERROR:
            return Verdict.ERROR, arm.reason
    for result in steady:
        if result.verdict is not Verdict.PASSED:
            return (
                Verdict.INCONCLUSIVE,
                f"steady state was not met before the first fault: {result.name}: {result.reason}",
            )
    if not gates:
        return Verdict.INCONCLUSIVE, "there is no gate: nothing was judged"
    missing = len(experiment.arms) - len(arms)
    verdicts = [gate.verdict for gate in gates]
    verdicts += [fault.verdict for fault in faults] + [arm.verdict for arm in arms]
    verdict = worst([*verdicts, Verdict.INCONCLUSIVE] if missing else verdicts)
    if verdict is Verdict.INCONCLUSIVE and verdict not in verdicts:
        return verdict, f"{missing} of {len(experiment.arms)} arms were not run"
    return verdict, _why(verdict, gates, faults, arms)


def _why(
    verdict: Verdict, gates: Sequence[GateResult], faults: Sequence[FaultResult], arms: Sequence[ArmResult]
) -> str:
    """One sentence: the first gate, fault or arm that makes the verdict, and how many more do."""
    if verdict is Verdict.PASSED:
        parts = [f"{len(gates)} of {len(gates)} gates hold"]
        if arms:
            parts.append(f"{len(arms)} of {len(arms)} arms did as they must")
        return "; ".join(parts)
    in_force = "; ".join(fault_in_force(f.fault, f.targets, f.applied_at_s, f.undone_at_s) for f in faults)
    causes = [
        f"{gate.name}: {gate.reason}" + (f" (faults: {in_force})" if in_force else "")
        for gate in gates
        if gate.verdict is verdict
    ]
    causes += [f"fault {fault.name}: {fault.reason}" for fault in faults if fault.verdict is verdict]
    causes += [arm.reason for arm in arms if arm.verdict is verdict]
    more = len(causes) - 1
    return causes[0] + (f"; and {more} more {'is' if more == 1 else 'are'} {verdict.value}" if more else "")
