"""Judging an ablation arm: does the run without the safeguard show that the safeguard matters?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import HarnessError
from harness.experiment.model import Arm, Experiment
from harness.gates.base import Gate, PooledRun
from harness.gates.judge import judge_pooled_gates
from harness.gates.names import gate_names
from harness.gates.result import GateResult, Verdict
from harness.gates.slo import slo_gate
from harness.history.read import History
from harness.sli.base import SliResult, Slo
from harness.sli.clusters import chance_of_difference
from harness.sli.formatting import ratio
from harness.sli.statistics import CONFIDENCE
from harness.verdict.faults import judge_faults, what_broke
from harness.verdict.model import ArmResult, FaultResult
from harness.verdict.recorded import RecordedArm


@dataclass(frozen=True, slots=True)
class ArmRun:
    """An arm of one run, and the main run that it is compared with."""

    recorded: RecordedArm
    control: History

    @property
    def history(self) -> History:
        return self.recorded.history


def judge_arm(
    runs: Sequence[ArmRun],
    experiment: Experiment,
    slos: Mapping[str, Slo],
    confidence: float = CONFIDENCE,
) -> ArmResult:
    """Whether the runs without the safeguard did what they must: one run, or the same arm with several seeds.

    `confidence`: of each bound and each test. A breach shows the safeguard only if the same gate is not breached in the
    main run, and if the arm breaches it in the faults' window, with a share of bad rows that chance does not explain.
    """
    arm = runs[0].recorded.arm
    histories, controls = [one.history for one in runs], [one.control for one in runs]

    def judged(gates: Sequence[Gate], of: Sequence[History]) -> list[GateResult]:
        return judge_pooled_gates(gates, [PooledRun(one) for one in of], slos, confidence=confidence)

    stated = gates_of(arm, experiment)
    gates = judged(stated, histories)
    main = {result.name: result.verdict for result in judged(stated, controls)}
    effects = {
        name: effect
        for gate, stated_name in zip(stated, gate_names(stated), strict=True)
        for name, effect in _effects(gate, stated_name, histories, controls, slos, main, confidence)
    }
    faults = judge_faults(histories)
    rises_s = min(
        (rise for load in experiment.load.values() if (rise := load.rises_at_s) is not None), default=None
    )
    if faults:
        before = [g for gate in stated if (g := gate.steady_state()) is not None]
    else:
        # Without a fault the load is what tests, from when it rises.
        before = [] if rises_s is None else [slo_gate(arm.slo).narrowed(f"t_s < {rises_s!r}")]
    steady = judge_pooled_gates(before, [PooledRun(one) for one in histories], slos)
    same = set(arm.safeguards) <= set(controls[0].metadata.without)
    idle = _not_consulted(arm, [*controls, *histories])
    broke = next(
        (found for one in histories if (found := what_broke(one.metadata, faults)) is not None), None
    )
    verdict, reason = _verdict(
        arm,
        broke,
        gates,
        faults,
        steady,
        main,
        effects,
        idle,
        rises=rises_s is not None,
        same_as_control=same,
    )
    return ArmResult(
        name=runs[0].recorded.name,
        without=arm.safeguards,
        must=arm.must,
        verdict=verdict,
        gates=tuple(gates),
        faults=faults,
        history_sha256=histories[0].environment.history_sha256 if len(runs) == 1 else "",
        reason=reason,
        line=runs[0].recorded.line,
    )


@dataclass(frozen=True, slots=True)
class _Effect:
    """Whether a breach is one that the safeguard prevents under the faults. `reason`: with figures."""

    verdict: Verdict
    reason: str


def _effects(
    gate: Gate,
    name: str,
    histories: Sequence[History],
    controls: Sequence[History],
    slos: Mapping[str, Slo],
    main: Mapping[str, Verdict],
    confidence: float,
) -> Iterator[tuple[str, _Effect]]:
    """By the name of a result, how the arm differs from the main run in the faults' window."""
    try:
        without, with_it = (gate.fault_rows(side, slos, confidence) for side in (histories, controls))
    except HarnessError as error:
        yield name, _Effect(Verdict.ERROR, str(error))
        return
    if without is None or with_it is None:
        # Two one-sided bounds on either side of the threshold are a difference, too.
        for result, verdict in main.items():
            if result == name or result.startswith(f"{name}["):
                passed = verdict is Verdict.PASSED
                yield (
                    result,
                    _Effect(
                        Verdict.PASSED if passed else Verdict.INCONCLUSIVE,
                        "the main run holds it"
                        if passed
                        else "the main run does not hold it with confidence",
                    ),
                )
        return
    by_group = {one.group: one for one in with_it}
    faults = histories[0].metadata.fault_start_s is not None
    when = "in the window of the faults" if faults else "in the whole run"
    for one in without:
        result = name if one.group is None else f"{name}[{one.group}]"
        yield result, _effect(one, by_group.get(one.group), confidence, when)


def _effect(without: SliResult, with_it: SliResult | None, confidence: float, when: str) -> _Effect:
    """`when`: the time that is compared, in words."""
    if without.counts is None or with_it is None or with_it.counts is None:
        return _Effect(Verdict.INCONCLUSIVE, f"there are no samples {when} to compare")
    if without.holds is not False:
        verdict = Verdict.FAILED if without.holds else Verdict.INCONCLUSIVE
        return _Effect(verdict, f"not {when}: {without.reason}")
    # The clients that are missing in the main run are the worst.
    better = with_it.counts.with_missing(with_it.missing)
    chance = chance_of_difference(without.counts, better)
    figures = (
        f"{when} {ratio(1 - without.counts.share, 1)} of {without.counts.samples:,} samples are "
        f"bad without it, {ratio(1 - better.share, 1)} of {better.samples:,} with it (p = {chance:.2g})"
    )
    if chance > 1 - confidence:
        return _Effect(Verdict.INCONCLUSIVE, f"chance may explain the difference: {figures}")
    return _Effect(Verdict.PASSED, figures)


def _not_consulted(arm: Arm, histories: Sequence[History]) -> list[str]:
    """The arm's safeguards that no code asked for until the faults were over, with them or without.

    Code may ask for one only where another is off, so the runs of the arm count, too.
    """
    consulted: set[str] = set()
    for one in (history.metadata for history in histories):
        if one.consulted_s is None:
            return []
        end_s = math.inf if one.fault_end_s is None else one.fault_end_s
        consulted |= {name for name, t_s in one.consulted_s.items() if t_s <= end_s}
    return [name for name in arm.safeguards if name not in consulted]


def gates_of(arm: Arm, experiment: Experiment) -> list[Gate]:
    """The experiment's gates of the arm's SLO, else the SLO as it is stated; narrowed by the arm's `where`."""
    gates: tuple[Gate, ...] = experiment.gates
    found = [gate for gate in gates if gate.slo_name == arm.slo and not gate.needs_control] or [
        slo_gate(arm.slo)
    ]
    return found if arm.where is None else [gate.narrowed(arm.where) for gate in found]


def _verdict(
    arm: Arm,
    broke: str | None,
    gates: Sequence[GateResult],
    faults: Sequence[FaultResult],
    steady: Sequence[GateResult],
    main: Mapping[str, Verdict],
    effects: Mapping[str, _Effect],
    not_consulted: Sequence[str],
    *,
    rises: bool,
    same_as_control: bool,
) -> tuple[Verdict, str]:
    safeguards = ", ".join(arm.safeguards)
    what = f"without {safeguards}"
    if broke is not None:
        return Verdict.ERROR, f"{what}: {broke}"
    if errors := [gate for gate in gates if gate.verdict is Verdict.ERROR]:
        return Verdict.ERROR, f"{what}: {errors[0].name}: {errors[0].reason}"
    if idle := [fault for fault in faults if fault.verdict is not Verdict.PASSED]:
        return Verdict.INCONCLUSIVE, f"{what}: fault {idle[0].name}: {idle[0].reason}"
    if not faults and not rises:
        return (
            Verdict.INCONCLUSIVE,
            f"{what}: there is no fault and the load does not rise, so nothing is tested",
        )
    for result in steady:
        if result.verdict is Verdict.FAILED or not result.samples:
            return (
                Verdict.INCONCLUSIVE,
                f"{what}: the steady state was not met before {'the first fault' if faults else 'the load rose'}: "
                f"{_reason(result)}",
            )
    if not_consulted:
        return (
            Verdict.INCONCLUSIVE,
            f"safeguard {', '.join(not_consulted)} was never consulted before the last fault ended",
        )
    breached = [gate for gate in gates if gate.verdict is Verdict.FAILED]
    unsure = [gate for gate in gates if gate.verdict is Verdict.INCONCLUSIVE]
    if arm.must == "hold":
        if breached:
            return Verdict.FAILED, f"{what}, {arm.slo} must hold, but {_reason(breached[0])}"
        if unsure:
            return Verdict.INCONCLUSIVE, f"{what}, whether {arm.slo} holds is undecided: {_reason(unsure[0])}"
        return Verdict.PASSED, f"{what}, {arm.slo} holds (expected)"
    alone = [gate for gate in breached if main.get(gate.name) is not Verdict.FAILED]
    for gate in alone:
        effect = effects.get(gate.name)
        if effect is not None and effect.verdict is Verdict.PASSED:
            text = f"{what}, {arm.slo} is breached (expected): {_reason(gate)}; {effect.reason}"
            return Verdict.PASSED, text
    if breached and same_as_control:
        return Verdict.INCONCLUSIVE, f"the main run is {what} too, so there is nothing to compare with"
    if alone:
        effect = effects.get(
            alone[0].name, _Effect(Verdict.INCONCLUSIVE, "nothing compares it with the main run")
        )
        return effect.verdict, f"{what}, {alone[0].name} is breached, but {effect.reason}"
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
