"""The columns of a table of gates: what the terminal, the pages, JUnit and GitHub show of a gate's result.

A new column is one entry here; what it shows is a function of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.gates.result import GateResult, Verdict
from harness.report.formatting import gate_interval, gate_threshold, gate_value


def _always(gate: GateResult) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Column:
    """`text`: the cell. `width`: of the column in the terminal, in characters.

    `phrase`: how a sentence says it, where `has` is true; None where a sentence leaves it out.
    """

    title: str
    width: int
    text: Callable[[GateResult], str]
    phrase: Callable[[GateResult], str] | None = None
    has: Callable[[GateResult], bool] = _always


def _phrase_value(gate: GateResult) -> str:
    if gate.value is None:
        return "nothing measured"
    return gate_value(gate) if gate.interval is None else f"{gate_value(gate)} {gate_interval(gate)}"


GATE_COLUMNS = (
    Column("Value", 9, gate_value, _phrase_value),
    Column("Interval", 21, gate_interval),
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
        lambda gate: f"{gate.samples:,}",
        lambda gate: f"{gate.samples:,} {'sample' if gate.samples == 1 else 'samples'}",
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
