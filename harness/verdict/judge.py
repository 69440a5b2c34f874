"""From histories to a verdict: the main run, its ablation arms, and both together. Pure but for reading.

The order (docs/verdicts.md): what broke is an error; a steady state that was not met before
makes the rest inconclusive, failures too; then a breach is a failure; then what is undecided is inconclusive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.experiment.model import Experiment
from harness.gates.base import Gate, PooledRun
from harness.gates.invariant import judge_invariants
from harness.gates.judge import judge_gates, judge_pooled_gates
from harness.gates.result import GateResult, Verdict, worst
from harness.history.files import CLIENTS
from harness.history.read import History
from harness.sli.base import Slo
from harness.sli.formatting import fault_times, targets
from harness.verdict.arms import ArmRun, judge_arm
from harness.verdict.faults import judge_faults, what_broke
from harness.verdict.model import ArmResult, ExperimentResult, FaultResult
from harness.verdict.recorded import RecordedArm
from harness.verdict.samples import sample_notes
from harness.verdict.utilisation import utilisation_note
from harness.workload.records import LATE_S


def judge(
    experiment: Experiment,
    slos: Mapping[str, Slo],
    history: History,
    arms: Sequence[RecordedArm],
    gate_lines: Sequence[int | None] = (),
    control: History | None = None,
) -> ExperimentResult:
    """The result of one run. `gate_lines`: where each gate is in the experiment file. `control`: the same run without
    faults, where a gate needs it.

    An arm of the experiment without a history makes the result inconclusive: it was not run.
    """
    gates = judge_gates(experiment.gates, history, slos, gate_lines, control)
    invariants = judge_invariants(history)
    gates += invariants.results
    faults = judge_faults([history])
    steady = steady_state([history], experiment, slos)
    arm_results = tuple(judge_arm([ArmRun(arm, history)], experiment, slos) for arm in arms)
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
        faults=faults,
        arms=arm_results,
        steady_state=tuple(steady),
        without=environment.without,
        notes=(
            *history.metadata.failures,
            *_notes(history),
            *sample_notes(experiment.gates, slos, history),
            *utilisation_note(experiment.gates, slos, history),
            *invariants.not_applicable,
        ),
    )


def _notes(history: History) -> list[str]:
    """What does not decide the verdict, but a reader should know."""
    statistics = history.metadata.statistics
    notes = []
    if CLIENTS in history.tables:
        ((clients, cancelled, unended, failed),) = history.query(
            "SELECT count(*), count(*) FILTER (WHERE outcome = 'cancelled'), "
            "count(*) FILTER (WHERE outcome = 'unended'), count(*) FILTER (WHERE outcome = 'failed') "
            f"FROM {CLIENTS}"
        )
        for count, what in (
            (cancelled, "were still active at the end of the drain and were cancelled"),
            (unended, "did not end though they were cancelled"),
            (failed, "failed: their code raised"),
        ):
            if count:
                notes.append(f"{count:,} of {clients:,} clients {what}; what they did not report is missing")
    starts = statistics.get("load", {}).get("starts", {})
    if late := starts.get("late"):
        notes.append(
            f"{late:,} of {starts['sessions']:,} clients began more than {LATE_S:g} s late, at most "
            f"{starts['max_s']:.3g} s: the load generator fell behind"
        )
    return notes


def steady_state(
    histories: Sequence[History],
    experiment: Experiment,
    slos: Mapping[str, Slo],
) -> list[GateResult]:
    """The gates, each once, on what was determined before the first fault; nothing without faults.

    The few samples of that time cannot claim an SLO; they must exist, and must not refute it. Such a result is
    given as passed, with its interval.
    """
    if not experiment.timeline:
        return []
    gates: tuple[Gate, ...] = experiment.gates
    before = dict.fromkeys(found for gate in gates if (found := gate.steady_state()) is not None)
    return [
        replace(_not_refuted(result), kind="steady-state")
        for result in judge_pooled_gates(tuple(before), [PooledRun(one) for one in histories], slos)
    ]


def _not_refuted(result: GateResult) -> GateResult:
    if result.verdict is not Verdict.INCONCLUSIVE:
        return result
    if not result.samples:
        return replace(result, reason="no samples before the first fault; begin it later, or widen 'where'")
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
    if (error := gate_error(gates, steady)) is not None:
        return Verdict.ERROR, error
    stopped = history.metadata.stopped
    if stopped is not None and stopped.kind == "ill":
        return (
            Verdict.INCONCLUSIVE,
            f"stopped at {stopped.at_s:.1f} s, before the first fault: the steady state was not met: {stopped.reason}",
        )
    if stopped is not None:
        return Verdict.FAILED, f"aborted at {stopped.at_s:.1f} s, faults were undone: {stopped.reason}"
    stated = sum(len(fault.starts_s) for fault in experiment.timeline)
    if len(faults) < stated:
        return (
            Verdict.ERROR,
            f"only {len(faults)} of {stated} faults of the timeline are in the history",
        )
    return combine(experiment, gates, faults, steady, arms)


def gate_error(gates: Sequence[GateResult], steady: Sequence[GateResult]) -> str | None:
    """The first gate that cannot be computed, and why."""
    errors = (one for one in (*gates, *steady) if one.verdict is Verdict.ERROR)
    return next((f"{one.name}: {one.reason}" for one in errors), None)


def combine(
    experiment: Experiment,
    gates: Sequence[GateResult],
    faults: Sequence[FaultResult],
    steady: Sequence[GateResult],
    arms: Sequence[ArmResult],
) -> tuple[Verdict, str]:
    """The verdict and its reason, where nothing broke or stopped a run."""
    for arm in arms:
        if arm.verdict is Verdict.ERROR:
            return Verdict.ERROR, arm.reason
    for result in steady:
        if result.verdict is not Verdict.PASSED:
            return (
                Verdict.INCONCLUSIVE,
                f"the steady state was not met before the first fault: {result.name}: {result.reason}",
            )
    if not gates:
        return Verdict.INCONCLUSIVE, "there is no gate and no invariant with rows, so nothing was judged"
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
            parts.append(f"{len(arms)} of {len(arms)} arms behaved as expected")
        return "; ".join(parts)
    in_force = "; ".join(
        f"{fault.fault} of {targets(fault.targets)}, {fault_times(fault.applied_at_s, fault.undone_at_s)}"
        for fault in faults
    )
    causes = [
        f"{gate.name}: {gate.reason}" + (f" (faults: {in_force})" if in_force else "")
        for gate in gates
        if gate.verdict is verdict
    ]
    causes += [f"fault {fault.name}: {fault.reason}" for fault in faults if fault.verdict is verdict]
    causes += [arm.reason for arm in arms if arm.verdict is verdict]
    more = len(causes) - 1
    return causes[0] + (f"; and {more} more {'is' if more == 1 else 'are'} {verdict.value}" if more else "")
