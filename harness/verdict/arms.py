"""Judging an ablation arm: does the run without the safeguard show what the safeguard is good for?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.experiment.model import Arm, Experiment, RecoveredGate, Slo, SloGate
from harness.gates.judgement import judge_gate
from harness.gates.names import gate_names
from harness.gates.result import GateResult, Verdict
from harness.history.read import History
from harness.verdict.faults import judge_fault, what_broke
from harness.verdict.model import ArmResult, FaultResult
from harness.verdict.recorded import RecordedArm


def judge_arm(
    recorded: RecordedArm, experiment: Experiment, slos: Mapping[str, Slo], control: History
) -> ArmResult:
    """Whether the run without the safeguard did what it must.

    `control`: the main run. A breach tells of the safeguard only if the same gate is not breached there.
    """
    arm, history = recorded.arm, recorded.history
    stated = gates_of(arm, experiment)
    names = gate_names(stated)
    gates = [
        result
        for gate, name in zip(stated, names, strict=True)
        for result in judge_gate(history, gate, slos, name=name)
    ]
    also = {
        result.name
        for gate, name in zip(stated, names, strict=True)
        for result in judge_gate(control, gate, slos, name=name)
        if result.verdict is Verdict.FAILED
    }
    faults = tuple(judge_fault(record) for record in history.metadata.faults)
    same = set(arm.safeguards) <= set(control.metadata.without)
    verdict, reason = _verdict(arm, history, gates, faults, also, same_as_control=same)
    return ArmResult(
        name=recorded.name,
        without=arm.safeguards,
        must=arm.must,
        verdict=verdict,
        gates=tuple(gates),
        faults=faults,
        history_sha256=history.environment.history_sha256,
        reason=reason,
    )


def gates_of(arm: Arm, experiment: Experiment) -> list[SloGate | RecoveredGate]:
    """The experiment's gates of the arm's SLO, else the SLO as it stands; narrowed by the arm's `where`."""
    found: list[SloGate | RecoveredGate] = [
        gate
        for gate in experiment.gates
        if (isinstance(gate, SloGate) and gate.slo == arm.slo)
        or (isinstance(gate, RecoveredGate) and gate.recovered == arm.slo)
    ] or [SloGate(slo=arm.slo)]
    if arm.where is None:
        return found
    return [
        gate.model_copy(
            update={"where": arm.where if gate.where is None else f"({gate.where}\n) and ({arm.where}\n)"}
        )
        for gate in found
    ]


def _verdict(
    arm: Arm,
    history: History,
    gates: Sequence[GateResult],
    faults: Sequence[FaultResult],
    breached_with_it: set[str],
    *,
    same_as_control: bool,
) -> tuple[Verdict, str]:
    safeguards = ", ".join(arm.safeguards)
    what = f"without {safeguards}"
    broke = what_broke(history.metadata, faults)
    if broke is not None:
        return Verdict.ERROR, f"{what}: {broke}"
    if errors := [gate for gate in gates if gate.verdict is Verdict.ERROR]:
        return Verdict.ERROR, f"{what}: {errors[0].name}: {errors[0].reason}"
    if idle := [fault for fault in faults if fault.verdict is not Verdict.PASSED]:
        return Verdict.INCONCLUSIVE, f"{what}: fault {idle[0].name}: {idle[0].reason}"
    breached = [gate for gate in gates if gate.verdict is Verdict.FAILED]
    unsure = [gate for gate in gates if gate.verdict is Verdict.INCONCLUSIVE]
    if arm.must == "hold":
        if breached:
            return Verdict.FAILED, f"{what}, {arm.slo} must hold, but {_told(breached[0])}"
        if unsure:
            return Verdict.INCONCLUSIVE, f"{what}, {arm.slo} may hold or not: {_told(unsure[0])}"
        return Verdict.PASSED, f"{what}, {arm.slo} holds, as it must"
    shown = [gate for gate in breached if gate.name not in breached_with_it]
    if shown:
        return Verdict.PASSED, f"{what}, {arm.slo} is breached, as it must be: {_told(shown[0])}"
    if breached and same_as_control:
        return Verdict.INCONCLUSIVE, f"the main run is {what} too: there is nothing to compare with"
    if breached:
        return (
            Verdict.FAILED,
            f"safeguard {safeguards} shows no effect: {breached[0].name} is breached with it too",
        )
    if unsure:
        return Verdict.INCONCLUSIVE, f"{what}, {arm.slo} may be breached or not: {_told(unsure[0])}"
    return Verdict.FAILED, f"safeguard {safeguards} shows no effect: {what}, {_told(gates[0])}"


def _told(gate: GateResult) -> str:
    return f"{gate.name}: {gate.reason}"
