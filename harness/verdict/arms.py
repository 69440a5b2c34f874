"""Judging an ablation arm: does the run without the safeguard show that the safeguard matters?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.experiment.model import Arm, Experiment
from harness.gates.base import Gate
from harness.gates.judge import judge_gates
from harness.gates.result import GateResult, Verdict
from harness.gates.slo import slo_gate
from harness.history.read import History
from harness.sli.base import Slo
from harness.verdict.faults import judge_fault, what_broke
from harness.verdict.model import ArmResult, FaultResult
from harness.verdict.recorded import RecordedArm


def judge_arm(
    recorded: RecordedArm, experiment: Experiment, slos: Mapping[str, Slo], control: History
) -> ArmResult:
    """Whether the run without the safeguard did what it must.

    `control`: the main run. A breach shows the safeguard only if the same gate is not breached there.
    """
    arm, history = recorded.arm, recorded.history
    stated = gates_of(arm, experiment)
    gates = judge_gates(stated, history, slos)
    also = {result.name for result in judge_gates(stated, control, slos) if result.verdict is Verdict.FAILED}
    faults = tuple(judge_fault(record, history.metadata.stopped) for record in history.metadata.faults)
    steady = judge_gates([g for gate in stated if (g := gate.steady_state()) is not None], history, slos)
    same = set(arm.safeguards) <= set(control.metadata.without)
    verdict, reason = _verdict(arm, history, gates, faults, steady, also, same_as_control=same)
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


def gates_of(arm: Arm, experiment: Experiment) -> list[Gate]:
    """The experiment's gates of the arm's SLO, else the SLO as it is stated; narrowed by the arm's `where`."""
    gates: tuple[Gate, ...] = experiment.gates
    found = [gate for gate in gates if gate.slo_name == arm.slo and not gate.needs_control] or [
        slo_gate(arm.slo)
    ]
    return found if arm.where is None else [gate.narrowed(arm.where) for gate in found]


def _verdict(
    arm: Arm,
    history: History,
    gates: Sequence[GateResult],
    faults: Sequence[FaultResult],
    steady: Sequence[GateResult],
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
    if not faults:
        return Verdict.INCONCLUSIVE, f"{what}: there is no fault, so nothing is tested"
    for result in steady:
        if result.verdict is Verdict.FAILED or not result.samples:
            return (
                Verdict.INCONCLUSIVE,
                f"{what}: the steady state was not met before the first fault: {_reason(result)}",
            )
    breached = [gate for gate in gates if gate.verdict is Verdict.FAILED]
    unsure = [gate for gate in gates if gate.verdict is Verdict.INCONCLUSIVE]
    if arm.must == "hold":
        if breached:
            return Verdict.FAILED, f"{what}, {arm.slo} must hold, but {_reason(breached[0])}"
        if unsure:
            return Verdict.INCONCLUSIVE, f"{what}, whether {arm.slo} holds is undecided: {_reason(unsure[0])}"
        return Verdict.PASSED, f"{what}, {arm.slo} holds (expected)"
    shown = [gate for gate in breached if gate.name not in breached_with_it]
    if shown:
        return Verdict.PASSED, f"{what}, {arm.slo} is breached (expected): {_reason(shown[0])}"
    if breached and same_as_control:
        return Verdict.INCONCLUSIVE, f"the main run is {what} too, so there is nothing to compare with"
    if breached:
        return (
            Verdict.FAILED,
            f"safeguard {safeguards} shows no effect: {breached[0].name} is breached with it too",
        )
    if unsure:
        return (
            Verdict.INCONCLUSIVE,
            f"{what}, whether {arm.slo} is breached is undecided: {_reason(unsure[0])}",
        )
    return Verdict.FAILED, f"safeguard {safeguards} shows no effect: {what}, {_reason(gates[0])}"


def _reason(gate: GateResult) -> str:
    return f"{gate.name}: {gate.reason}"
