"""Judging one gate on a history: an SLO, an SLO after recovery, an event, an invariant."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from harness.experiment.model import EventGate, Gate, RecoveredGate, Slo
from harness.gates.names import gate_name
from harness.gates.result import GateResult, Verdict
from harness.gates.slo import broken, judge_slo, no_samples
from harness.history.errors import HistoryError
from harness.history.metadata import FaultRecord, InvariantRecord
from harness.history.read import History
from harness.history.table import literal
from harness.sli.formatting import duration
from harness.sli.query import NEVER, Window, condition_count, windows
from harness.sli.statistics import ratio_bounds


def judge_gate(
    history: History,
    gate: Gate,
    slos: Mapping[str, Slo],
    line: int | None = None,
    name: str | None = None,
) -> tuple[GateResult, ...]:
    """One result, or one for each group of an SLO that is stated `by` something.

    `line`: where the gate stands in its file. `name`: what to call it (default: `gate_name`).
    """
    name = name or gate_name(gate)
    if isinstance(gate, EventGate):
        return (replace(_event(history, gate, name), line=line),)
    results = judge_slo(history, gate, slos, _window(history, gate), name)
    kind = "recovered" if isinstance(gate, RecoveredGate) else "slo"
    return tuple(replace(result, kind=kind, line=line) for result in results)


def _window(history: History, gate: Gate) -> Window:
    if isinstance(gate, RecoveredGate):
        end = history.metadata.fault_end_s
        return NEVER if end is None else Window(end + gate.within)
    assert not isinstance(gate, EventGate)
    return windows(history)[gate.during]


def _event(history: History, gate: EventGate, name: str) -> GateResult:
    """Seen in time after each fault, and not as often before it; `value` is the longest wait."""
    nothing = replace(no_samples(name, None, gate.within, "s"), kind="event")
    try:
        seen = history.query(f"SELECT t_s FROM events WHERE event = {literal(gate.event)} ORDER BY t_s")
    except HistoryError as error:
        return replace(broken(name, None, f"cannot be computed: {error}"), kind="event")
    times = [float(row[0]) for row in seen]
    what = "its start" if gate.of == "fault" else "its end"
    waits: list[float] = []
    missed: list[str] = []
    counted = 0
    moments = [_moment(fault, gate.of) for fault in history.metadata.faults]
    for fault, moment in zip(history.metadata.faults, moments, strict=True):
        if moment is None:
            return replace(nothing, reason=f"{fault.name} never came to {what}")
        if not any(fault.exposure.values()):
            return replace(nothing, reason=f"{fault.name} touched no traffic: there was nothing to answer")
        # What comes after a later fault may be that one's.
        until = min((m for m in moments if m is not None and m > moment), default=math.inf)
        until = min(until, moment + gate.within)
        inside = [time for time in times if moment <= time <= until]
        counted += len(inside)
        if not inside:
            missed.append(fault.name)
            continue
        since = max(0.0, moment - gate.within)
        usual = sum(since <= time < moment for time in times)
        if usual and not _more(usual, moment - since, len(inside), until - moment):
            return replace(
                nothing,
                samples=len(inside),
                reason=f"{gate.event} was seen {_times(usual)} in the {duration(moment - since)} before {what} "
                f"and {_times(len(inside))} in the {duration(until - moment)} after it: "
                f"that does not show an answer to {fault.name}",
            )
        # As many as are usual may be of those that went on anyway.
        waits.append(inside[usual] - moment)
    if not history.metadata.faults:
        return replace(nothing, reason="there was no fault to follow")
    within = duration(gate.within)
    reason = (
        f"no {gate.event} within {within} of {what}: {', '.join(missed)}"
        if missed
        else f"{gate.event} seen {duration(max(waits))} after {what}, at most {within}"
    )
    return GateResult(
        name=name,
        verdict=Verdict.FAILED if missed else Verdict.PASSED,
        value=None if missed else max(waits),
        interval=None,
        threshold=gate.within,
        samples=counted,
        unit="s",
        reason=reason,
        kind="event",
    )


def _more(usual: int, usual_s: float, found: int, found_s: float) -> bool:
    """Whether events are more frequent now than usual, with 95 % confidence.

    Were they not, each of them all would fall into the time looked at with the probability of its share of
    both times (exact conditional test of two Poisson rates: Przyborowski and Wilenski, Biometrika 31, 1940).
    """
    return found > usual and ratio_bounds(found, usual + found)[0] > found_s / (usual_s + found_s)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _moment(fault: FaultRecord, of: str) -> float | None:
    if of == "recovery":
        return fault.applied_at_s if fault.for_s == 0 else fault.undone_at_s
    return fault.applied_at_s


def judge_invariant(history: History, invariant: InvariantRecord) -> GateResult:
    """Not one row may violate it; without rows nothing can be said."""
    try:
        violated, rows = condition_count(history, invariant.table, invariant.violated)
    except HistoryError as error:
        return replace(broken(invariant.name, None, f"cannot be computed: {error}"), kind="invariant")
    if not rows:
        return replace(
            no_samples(invariant.name, None, 0.0, "count", f"table {invariant.table} has no rows"),
            kind="invariant",
        )
    return GateResult(
        name=invariant.name,
        verdict=Verdict.FAILED if violated else Verdict.PASSED,
        value=float(violated),
        interval=None,
        threshold=0.0,
        samples=rows,
        unit="count",
        reason=f"{violated:,} of {rows:,} rows of {invariant.table} violate it: {invariant.protects}",
        kind="invariant",
    )
