"""From histories to verdicts: the main run, its ablation arms, and what both come to. Pure but for reading.

The order of doubt (DESIGN section 6): what broke is an error; a steady state that was not there before makes
all that follows inconclusive, failures too; then a breach is a failure; then what is not sure is inconclusive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.history.facts import FaultRecord
from harness.history.read import History
from harness.spec.model import Arm, Experiment, RecoveredGate, Slo, SloGate
from harness.verdict.evidence import windows
from harness.verdict.gates import gate_name, judge_gate, judge_invariant, judge_slo
from harness.verdict.model import ArmResult, ExperimentResult, FaultResult, GateResult, Verdict, worst


@dataclass(frozen=True, slots=True)
class JudgedArm:
    """An ablation arm's history and what the experiment says of it."""

    name: str
    arm: Arm
    history: History
    history_sha256: str


@dataclass(frozen=True, slots=True)
class Identity:
    """What names a run in its result; see `ExperimentResult`."""

    file: str
    seed: int
    run: str
    replay: str
    history_sha256: str
    without: tuple[str, ...] = ()


def judge(
    identity: Identity,
    experiment: Experiment,
    slos: Mapping[str, Slo],
    history: History,
    arms: Sequence[JudgedArm],
    gate_lines: Sequence[int | None] = (),
) -> ExperimentResult:
    """The result of one run. `gate_lines`: where each gate stands in the experiment file."""
    lines = [*gate_lines, *[None] * len(experiment.gates)]
    gates = [
        result
        for gate, line in zip(experiment.gates, lines, strict=False)
        for result in judge_gate(history, gate, slos, line)
    ]
    gates += [judge_invariant(history, invariant) for invariant in history.facts.invariants]
    faults = [judge_fault(record) for record in history.facts.faults]
    steady = steady_state(history, experiment, slos)
    arm_results = tuple(judge_arm(arm, experiment, slos) for arm in arms)
    verdict, reason = _combine(history, gates, faults, steady, arm_results)
    return ExperimentResult(
        name=experiment.experiment,
        title=experiment.title,
        file=identity.file,
        verdict=verdict,
        reason=reason,
        seed=identity.seed,
        run=identity.run,
        history_sha256=identity.history_sha256,
        replay=identity.replay,
        gates=tuple(gates),
        faults=tuple(faults),
        arms=arm_results,
        steady_state=tuple(steady),
        without=identity.without,
        notes=history.facts.failures,
    )


def judge_fault(record: FaultRecord) -> FaultResult:
    """Applied, undone, and felt by somebody: or else nothing was tested."""
    verdict, reason = Verdict.PASSED, "applied and undone"
    touched = {name: count for name, count in record.exposure.items() if count}
    if record.error is not None:
        verdict, reason = Verdict.ERROR, record.error
    elif record.applied_at_s is None:
        verdict, reason = Verdict.ERROR, "it was never applied"
    elif record.undone_at_s is None and record.for_s > 0:
        verdict, reason = Verdict.ERROR, "it was applied and not undone"
    elif not touched:
        verdict, reason = Verdict.INCONCLUSIVE, "it touched no traffic, so nothing was tested"
    return FaultResult(
        name=record.name,
        fault=record.fault,
        targets=record.targets,
        applied_at_s=record.applied_at_s,
        undone_at_s=record.undone_at_s,
        exposure=dict(record.exposure),
        verdict=verdict,
        reason=reason,
    )


def steady_state(history: History, experiment: Experiment, slos: Mapping[str, Slo]) -> list[GateResult]:
    """Every SLO of the gates, on what was determined before the first fault.

    The few samples of that time cannot claim an SLO; they must be there, and must not refute it. Such a
    result is given as passed, with its interval.
    """
    results: dict[str, GateResult] = {}
    if not experiment.timeline:
        return []
    for gate in experiment.gates:
        if isinstance(gate, RecoveredGate):
            gate = SloGate.model_construct(
                slo=gate.recovered,
                where=gate.where,
                target=gate.target,
                at_most=gate.at_most,
                during="all",
                name=None,
            )
        if not isinstance(gate, SloGate):
            continue
        base = gate.name or gate.slo
        for result in judge_slo(history, gate, slos, windows(history)["before"], base):
            if result.verdict is Verdict.INCONCLUSIVE and result.samples > 0:
                result = replace(
                    result,
                    verdict=Verdict.PASSED,
                    needs=None,
                    reason=f"not refuted by {result.samples:,} samples before the fault",
                )
            results.setdefault(result.name, replace(result, kind="steady-state"))
    return list(results.values())


def judge_arm(judged: JudgedArm, experiment: Experiment, slos: Mapping[str, Slo]) -> ArmResult:
    """Whether the run without the safeguard did what it must."""
    arm, history = judged.arm, judged.history
    gates = [
        result for gate in _gates_of(arm, experiment) for result in judge_gate(history, gate, slos, None)
    ]
    faults = tuple(judge_fault(record) for record in history.facts.faults)
    verdict, reason = _arm_verdict(arm, history, gates, faults)
    return ArmResult(
        name=judged.name,
        without=arm.safeguards,
        must=arm.must,
        verdict=verdict,
        gates=tuple(gates),
        faults=faults,
        history_sha256=judged.history_sha256,
        reason=reason,
    )


def _gates_of(arm: Arm, experiment: Experiment) -> list[SloGate]:
    """The gates of the arm's SLO, as the experiment states them."""
    own = [gate for gate in experiment.gates if isinstance(gate, SloGate) and gate.slo == arm.slo]
    gates = own or [SloGate(slo=arm.slo)]
    if arm.where is not None:
        gates = [
            gate.model_copy(
                update={"where": arm.where if gate.where is None else f"({gate.where}) and ({arm.where})"}
            )
            for gate in gates
        ]
    return gates


def _arm_verdict(
    arm: Arm, history: History, gates: Sequence[GateResult], faults: Sequence[FaultResult]
) -> tuple[Verdict, str]:
    what = f"without {', '.join(arm.safeguards)}"
    broken = _broken(history, faults)
    if broken is not None:
        return Verdict.ERROR, f"{what}: {broken}"
    if errors := [gate for gate in gates if gate.verdict is Verdict.ERROR]:
        return Verdict.ERROR, f"{what}: {errors[0].name} {errors[0].reason}"
    breached = [gate for gate in gates if gate.verdict is Verdict.FAILED]
    unsure = [gate for gate in gates if gate.verdict is Verdict.INCONCLUSIVE]
    if arm.must == "breach":
        if breached:
            return Verdict.PASSED, f"{what}, {arm.slo} is breached, as it must be"
        if idle := [fault for fault in faults if fault.verdict is Verdict.INCONCLUSIVE]:
            return Verdict.INCONCLUSIVE, f"{what}: {idle[0].name}: {idle[0].reason}"
        if unsure:
            return Verdict.INCONCLUSIVE, f"{what}, {arm.slo} may be breached or not: {unsure[0].reason}"
        return (
            Verdict.FAILED,
            f"{what}, {arm.slo} still holds: this experiment does not show what it is good for",
        )
    if breached:
        return Verdict.FAILED, f"{what}, {arm.slo} is breached and must hold: {breached[0].reason}"
    if unsure:
        return Verdict.INCONCLUSIVE, f"{what}, {arm.slo}: {unsure[0].reason}"
    return Verdict.PASSED, f"{what}, {arm.slo} holds, as it must"


def _broken(history: History, faults: Iterable[FaultResult]) -> str | None:
    """Why the run proves nothing: the harness, a fault or a service broke."""
    failed = [fault for fault in faults if fault.verdict is Verdict.ERROR]
    if failed:
        return f"fault {failed[0].name}: {failed[0].reason}"
    if history.facts.failures:
        more = len(history.facts.failures) - 1
        return history.facts.failures[0] + (f" (and {more} more)" if more else "")
    return None


def _combine(
    history: History,
    gates: Sequence[GateResult],
    faults: Sequence[FaultResult],
    steady: Sequence[GateResult],
    arms: Sequence[ArmResult],
) -> tuple[Verdict, str]:
    if history.facts.interrupted:
        return Verdict.INTERRUPTED, "interrupted; the faults were undone first"
    broken = _broken(history, faults)
    if broken is not None:
        return Verdict.ERROR, broken
    for result in (*gates, *steady):
        if result.verdict is Verdict.ERROR:
            return Verdict.ERROR, f"{result.name}: {result.reason}"
    unmet = [result for result in steady if result.verdict is not Verdict.PASSED]
    if unmet:
        return (
            Verdict.INCONCLUSIVE,
            f"steady state was not met before the fault: {unmet[0].name}: {unmet[0].reason}",
        )
    if not gates:
        return Verdict.INCONCLUSIVE, "there is no gate: nothing was judged"
    verdict = worst([*(g.verdict for g in gates), *(f.verdict for f in faults), *(a.verdict for a in arms)])
    return verdict, _why(verdict, gates, faults, arms)


def _why(
    verdict: Verdict, gates: Sequence[GateResult], faults: Sequence[FaultResult], arms: Sequence[ArmResult]
) -> str:
    if verdict is Verdict.PASSED:
        shown = (
            f", {len(arms)} ablation{'s' if len(arms) != 1 else ''} breached or held as they must"
            if arms
            else ""
        )
        return f"all {len(gates)} gates hold{shown}"
    in_force = ", ".join(f"{fault.name} on {', '.join(fault.targets)}" for fault in faults)
    during = f" with {in_force}" if in_force else ""
    for gate in gates:
        if gate.verdict is verdict:
            return f"{gate.name}: {gate.reason}{during}"
    for fault in faults:
        if fault.verdict is verdict:
            return f"fault {fault.name} on {', '.join(fault.targets)}: {fault.reason}"
    for arm in arms:
        if arm.verdict is verdict:
            return arm.reason
    return verdict.value


__all__ = ["Identity", "JudgedArm", "gate_name", "judge", "judge_arm", "judge_fault", "steady_state"]
