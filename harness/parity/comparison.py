"""Two results of one experiment compared, one in virtual time and one live. Pure.

The thresholds are those of docs/live.md: the same verdicts; shares within two points; times of events after faults
within 20 %; percentiles of SLOs within 15 %; a system's own metrics (`harness.system.ParityMetric`) within what it
declares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.gates.result import GateResult, Verdict
from harness.parity.model import Comparison, Outcome, Threshold
from harness.system import ParityMetric
from harness.verdict.model import ExperimentResult

SHARE_POINTS = 0.02
EVENT_WITHIN = 0.20
PERCENTILE_WITHIN = 0.15

RESOLUTION_S = 0.010
"""Times that differ by less count as equal, whatever the ratio: live, a busy loop's turn and a proxy's pieces of 32 KiB
take milliseconds that the network of virtual time does not have."""

SAME = "the same"


@dataclass(frozen=True, slots=True)
class Measurement:
    """A metric's value in one runtime, and how many rows it is made of."""

    value: float | None
    rows: int


def compare_results(
    sim: ExperimentResult,
    live: ExperimentResult,
    metrics: Sequence[ParityMetric] = (),
    measured: Mapping[str, tuple[Measurement, Measurement]] | None = None,
) -> Iterator[Comparison]:
    """The verdict, every gate, every arm, every metric of the system (`measured`: by name, virtual time and live)."""
    yield _compare_verdicts("verdict", sim.verdict, live.verdict)
    yield from _compare_gates(sim.gates, live.gates)
    for a, b in zip(sim.arms, live.arms, strict=False):
        yield _compare_verdicts(f"arm {a.name}", a.verdict, b.verdict)
    for metric in metrics:
        if measured is not None and metric.name in measured:
            yield _compare_metric(metric, *measured[metric.name])


def _compare_verdicts(name: str, sim: Verdict, live: Verdict) -> Comparison:
    outcome = Outcome.WITHIN if sim == live else Outcome.OUTSIDE
    return Comparison(name, outcome, verdicts=(sim.value, live.value))


def _compare_gates(sim: Sequence[GateResult], live: Sequence[GateResult]) -> Iterator[Comparison]:
    """In order; a group that only one runtime has is outside. Invariants that agree are one line."""
    others = {gate.name: gate for gate in live}
    invariants = 0
    for gate in sim:
        other = others.pop(gate.name, None)
        if other is not None and gate.kind == "invariant" and gate.verdict == other.verdict:
            invariants += 1
        elif other is None:
            yield _only_in_one(gate, (gate.verdict.value, "absent"), sim=gate.value)
        else:
            yield _compare_gate(gate, other)
    for gate in others.values():
        yield _only_in_one(gate, ("absent", gate.verdict.value), live=gate.value)
    if invariants:
        yield Comparison(f"{invariants} invariants", Outcome.WITHIN, verdicts=(SAME, SAME))


def _only_in_one(
    gate: GateResult, verdicts: tuple[str, str], *, sim: float | None = None, live: float | None = None
) -> Comparison:
    return Comparison(gate.name, Outcome.OUTSIDE, gate.unit, sim, live, verdicts=verdicts)


def _compare_gate(sim: GateResult, live: GateResult) -> Comparison:
    rows = (sim.samples, live.samples)
    threshold = _gate_threshold(sim, min(rows))
    outcome = _outcome(sim.value, live.value, threshold) if sim.verdict == live.verdict else Outcome.OUTSIDE
    verdicts = (sim.verdict.value, live.verdict.value)
    return Comparison(sim.name, outcome, sim.unit, sim.value, live.value, threshold, rows, verdicts)


def _gate_threshold(gate: GateResult, rows: int) -> Threshold | None:
    if gate.unit == "ratio":
        # A difference of one row carries no information.
        return Threshold(SHARE_POINTS, relative=False, floor=1 / rows if rows else 0.0)
    if gate.slo is not None:
        return Threshold(PERCENTILE_WITHIN, relative=True, floor=RESOLUTION_S if gate.unit == "s" else 0.0)
    # Without an SLO: a time is that of an event, a count that of rows that must not be.
    return Threshold(EVENT_WITHIN, relative=True, floor=RESOLUTION_S) if gate.unit == "s" else None


def _compare_metric(metric: ParityMetric, sim: Measurement, live: Measurement) -> Comparison:
    threshold = Threshold(metric.within, metric.relative, RESOLUTION_S if metric.unit == "s" else 0.0)
    outcome = _outcome(sim.value, live.value, threshold)
    return Comparison(
        metric.name, outcome, metric.unit, sim.value, live.value, threshold, (sim.rows, live.rows)
    )


def _outcome(sim: float | None, live: float | None, threshold: Threshold | None) -> Outcome:
    if sim is None and live is None:
        return Outcome.NOT_COMPARED
    if threshold is None:
        return Outcome.WITHIN
    if sim is None or live is None:
        return Outcome.OUTSIDE
    return Outcome.WITHIN if threshold.accepts(sim, live) else Outcome.OUTSIDE
