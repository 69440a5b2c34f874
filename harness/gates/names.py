"""What gates are called: their own name, or what they say; never two alike in one experiment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.experiment.model import EventGate, Gate, RecoveredGate

_DURING = {
    "before": " before the fault",
    "fault": " during the fault",
    "after": " after the fault",
    "all": "",
}


def gate_name(gate: Gate) -> str:
    """What a gate is called when it has no name of its own."""
    if gate.name is not None:
        return gate.name
    if isinstance(gate, EventGate):
        return f"{gate.event} after {gate.of}"
    if isinstance(gate, RecoveredGate):
        return f"{gate.recovered} recovered"
    return f"{gate.slo}{_DURING[gate.during]}"


def gate_names(gates: Sequence[Gate]) -> tuple[str, ...]:
    """A name for each gate. Of those that would share one, each also says what tells it from the others."""
    names = [gate_name(gate) for gate in gates]
    for tell in (_where, _limit):
        often = Counter(names)
        names = [
            name + tell(gate) if often[name] > 1 else name for name, gate in zip(names, gates, strict=True)
        ]
    often, seen = Counter(names), Counter[str]()
    for index, name in enumerate(names):
        if often[name] > 1:
            seen[name] += 1
            names[index] = f"{name} #{seen[name]}"
    return tuple(names)


def _where(gate: Gate) -> str:
    return "" if isinstance(gate, EventGate) or gate.where is None else f" where {gate.where}"


def _limit(gate: Gate) -> str:
    if isinstance(gate, EventGate):
        return f" within {gate.within:g} s"
    return (
        (f" within {gate.within:g} s" if isinstance(gate, RecoveredGate) else "")
        + ("" if gate.target is None else f" at least {gate.target * 100:.10g}%")
        + ("" if gate.at_most is None else f" at most {gate.at_most}")
    )
