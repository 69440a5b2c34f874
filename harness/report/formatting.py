"""How verdicts, values, intervals, thresholds and times are written for people. Pure text, one place.

A verdict is always a word; symbols and colours only come on top of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.gates.result import GateResult, Verdict
from harness.sli.formatting import (
    byte_count,
    effects,
    exposure,
    fault_times,
    number,
    quantity,
    ratio,
    ratio_decimals,
    targets,
)
from harness.text import plural
from harness.verdict.model import ArmResult, ExperimentResult, FaultResult, JudgedExperiment, PooledResult

SYMBOLS = {
    Verdict.PASSED: "✓",
    Verdict.FAILED: "✗",
    Verdict.INCONCLUSIVE: "?",
    Verdict.ERROR: "!",
    Verdict.INTERRUPTED: "‖",
}

MEANINGS = {
    Verdict.PASSED: "every gate holds and every fault affected real traffic",
    Verdict.FAILED: "a gate is breached, or an ablation arm that must breach did not",
    Verdict.INCONCLUSIVE: "there is not enough evidence that every gate holds",
    Verdict.ERROR: "a fault could not be applied or undone, or something broke; there is no verdict",
    Verdict.INTERRUPTED: "stopped early; faults were undone first",
}


def verdict_word(verdict: Verdict) -> str:
    return verdict.value.upper()


def gate_value(gate: GateResult) -> str:
    return quantity(gate.value, gate.unit, gate.threshold)


def gate_interval(gate: GateResult) -> str:
    if gate.interval is None:
        return "-"
    low, high = gate.interval
    return f"[{quantity(low, gate.unit, gate.threshold)}, {quantity(high, gate.unit, gate.threshold)}]"


def effective_samples(gate: GateResult) -> str:
    """As many independent samples carry the same evidence; `-` where samples are not clustered."""
    return "-" if gate.effective is None else f"{math.floor(gate.effective):,}"


def threshold_sign(gate: GateResult) -> str:
    """A ratio is the share of good rows: at least. Everything else is at most."""
    return "≥" if gate.unit == "ratio" else "≤"


def gate_threshold(gate: GateResult) -> str:
    if gate.threshold is None:
        return "-"
    if gate.unit == "ratio":
        return f"≥ {ratio(gate.threshold, max(1, ratio_decimals(gate.threshold) - 1))}"
    return f"{threshold_sign(gate)} {quantity(gate.threshold, gate.unit)}"


def gate_needs(gate: GateResult) -> str | None:
    """How many more samples a confident claim needs; None where more samples do not help."""
    if gate.needs is None:
        return None
    return f"{plural(gate.needs, 'more sample')} for a claim in 95% of runs"


def describe_arm_gate(arm: ArmResult, gate: GateResult) -> str:
    """What a gate did in an arm, and whether that was expected: `breached (expected)`."""
    if gate.verdict is Verdict.FAILED:
        expected = arm.verdict is Verdict.PASSED and arm.must == "breach"
        return "breached (expected)" if expected else "breached"
    if gate.verdict is Verdict.PASSED:
        if arm.must == "hold":
            return "held (expected)"
        return "held (one breach is enough)" if arm.verdict is Verdict.PASSED else "held"
    return gate.verdict.value


def seeds_text(result: JudgedExperiment) -> str:
    """`seed 3`; of a pool `seeds 1 to 10`, or `4 seeds`."""
    if isinstance(result, ExperimentResult):
        return f"seed {result.seed}"
    first, last = result.seeds[0], result.seeds[-1]
    if result.seeds == tuple(range(first, last + 1)):
        return f"seed {first}" if first == last else f"seeds {first} to {last}"
    return plural(len(result.seeds), "seed")


def pool_text(result: PooledResult) -> str:
    """`seeds 1 to 4 pooled, 95% confidence, 5 looks: each gate with 98% intervals`."""
    text = f"{seeds_text(result)} pooled, {number(100 * result.confidence)}% confidence"
    if result.looks == 1:
        return text
    each = 100 * (1 - 2 * (1 - result.confidence) / result.looks)
    return f"{text} over at most {result.looks} looks: {each:.4g}% intervals"


def fault_label(fault: FaultResult) -> str:
    """A fault's label in a chart: its own name, or its kind and its first target."""
    return fault.name if named(fault) else f"{fault.fault} {short_targets(fault.targets, 1)}"


def fault_title(fault: FaultResult) -> str:
    """`cell hand-over: reset`, or just `reset`."""
    return f"{fault.name}: {fault.fault}" if named(fault) else fault.fault


def named(fault: FaultResult) -> bool:
    """Whether the experiment gave the fault a name; the others are named by their kind, numbered where needed."""
    return re.fullmatch(rf"{re.escape(fault.fault)}(-\d+)?", fault.name) is None


def short_targets(names: tuple[str, ...], most: int = 3) -> str:
    """As `targets`; both ends of a link are shortened, too."""
    return targets(
        tuple(
            " > ".join(targets(tuple(end.split(", ")), most) for end in name.split(" > ")) for name in names
        ),
        most,
    )


def exposed(name: str, count: int) -> str:
    """One count of an exposure, for a table."""
    return byte_count(count) if name == "bytes" else f"{count:,}"


def exposed_services(fault: FaultResult) -> str:
    """What a fault did to the traffic that services cause by themselves."""
    return effects(fault.exposure.background)


def fault_when(fault: FaultResult) -> str:
    return fault_times(fault.applied_at_s, fault.undone_at_s)


def fault_line(fault: FaultResult) -> str:
    """`edge-down: crash of edge-a-1, 60 s to 120 s, 41 connections`."""
    what = f"{fault.fault} of {short_targets(fault.targets)}"
    label = what if fault.name == fault.fault else f"{fault.name}: {what}"
    return f"{label}, {fault_when(fault)}, {exposure(fault.exposure)}"


@dataclass(frozen=True, slots=True)
class Column:
    """`text`: the cell. `width`: of the column in the terminal, in characters.

    `phrase`: how a sentence says it, where `has` is true; None where a sentence leaves it out.
    """

    title: str
    width: int
    text: Callable[[GateResult], str]
    phrase: Callable[[GateResult], str] | None = None
    has: Callable[[GateResult], bool] = lambda gate: True


def _phrase_value(gate: GateResult) -> str:
    if gate.value is None:
        return "nothing measured"
    return gate_value(gate) if gate.interval is None else f"{gate_value(gate)} {gate_interval(gate)}"


def _phrase_samples(gate: GateResult) -> str:
    missing = f", {plural(gate.missing, 'client')} did not report" if gate.missing else ""
    return f"{gate.samples:,} {'sample' if gate.samples == 1 else 'samples'}{missing}"


GATE_COLUMNS = (
    Column("Value", 9, gate_value, _phrase_value),
    Column("90% interval", 17, gate_interval),
    Column(
        "Threshold",
        10,
        gate_threshold,
        lambda gate: f"threshold {gate_threshold(gate)}",
        lambda gate: gate.threshold is not None,
    ),
    Column(
        "Samples",
        8,
        lambda gate: f"{gate.samples:,}" + (f" +{gate.missing:,}" if gate.missing else ""),
        _phrase_samples,
    ),
    Column(
        "n eff",
        6,
        effective_samples,
        lambda gate: f"effective {effective_samples(gate)}",
        lambda gate: gate.effective is not None and gate.effective < gate.samples,
    ),
)


def held_invariants(gates: Iterable[GateResult]) -> tuple[GateResult, ...]:
    """The invariants that hold. They are many and say the same: tables show them as one line."""
    return tuple(gate for gate in gates if gate.kind == "invariant" and gate.verdict is Verdict.PASSED)


def describe_measurement(gate: GateResult) -> str:
    """`97.21% [96.02%, 98.11%], threshold ≥ 99.9%, 1,204 samples`."""
    return ", ".join(
        column.phrase(gate) for column in GATE_COLUMNS if column.phrase is not None and column.has(gate)
    )
