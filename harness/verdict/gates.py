"""Judging one gate on a history. What cannot be judged is never passed: see docs/verdicts.md."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from harness.history.facts import FaultRecord, InvariantRecord
from harness.history.read import History
from harness.history.write import HistoryError
from harness.spec.model import EventGate, Gate, PercentileSlo, RatioSlo, RecoveredGate, Slo, SloGate
from harness.spec.units import parse_bitrate, parse_bytes, parse_duration, parse_ratio
from harness.verdict.evidence import Window, ratios, values, windows
from harness.verdict.model import GateResult, Verdict
from harness.verdict.statistics import (
    more_for_ratio,
    percentile,
    percentile_bounds,
    ratio_bounds,
    samples_for_percentile,
)

_UNITS: tuple[tuple[str, Callable[[str], float]], ...] = (
    ("s", parse_duration),
    ("bit/s", parse_bitrate),
    ("bytes", parse_bytes),
    ("ratio", parse_ratio),
)


def parse_limit(text: str) -> tuple[float, str]:
    """A limit with its unit, in base units. ValueError when it is none of the known quantities."""
    for unit, parse in _UNITS:
        try:
            return float(parse(text)), unit
        except ValueError:
            continue
    raise ValueError(f"found '{text}'; expected a duration, bit rate, size or ratio, such as 2s or 5Mbps")


def gate_name(gate: Gate) -> str:
    """What a gate is called when it has no name of its own."""
    if gate.name is not None:
        return gate.name
    if isinstance(gate, EventGate):
        return f"{gate.event} after {gate.of}"
    if isinstance(gate, RecoveredGate):
        return f"{gate.recovered} recovered"
    return gate.slo if gate.during == "all" else f"{gate.slo} ({_DURING[gate.during]})"


_DURING = {"before": "before the fault", "fault": "during the fault", "after": "after the fault"}


def judge_gate(
    history: History, gate: Gate, slos: Mapping[str, Slo], line: int | None
) -> tuple[GateResult, ...]:
    """One result, or one for each group of an SLO that is stated `by` something."""
    if isinstance(gate, EventGate):
        return (replace(_event(history, gate), line=line),)
    if isinstance(gate, RecoveredGate):
        end = history.facts.fault_end_s
        window = Window(float("inf")) if end is None else Window(end + gate.within)
        as_slo = SloGate.model_construct(
            slo=gate.recovered,
            where=gate.where,
            target=gate.target,
            at_most=gate.at_most,
            during="all",
            name=None,
        )
        results = judge_slo(history, as_slo, slos, window, gate_name(gate))
        return tuple(replace(result, kind="recovered", line=line) for result in results)
    results = judge_slo(history, gate, slos, windows(history)[gate.during], gate_name(gate))
    return tuple(replace(result, line=line) for result in results)


def judge_slo(
    history: History, gate: SloGate, slos: Mapping[str, Slo], window: Window, name: str
) -> tuple[GateResult, ...]:
    """An SLO on the rows of a window, with what the gate overrides. An unusable one is an error."""
    slo = slos.get(gate.slo)
    if slo is None:
        return (_broken(name, gate.slo, f"there is no SLO '{gate.slo}'; it has {', '.join(slos) or 'none'}"),)
    try:
        found = tuple(
            _ratio(slo, gate, name, history, window)
            if isinstance(slo, RatioSlo)
            else _percentile(slo, gate, name, history, window)
        )
    except (HistoryError, ValueError) as error:
        return (_broken(name, gate.slo, f"cannot be computed: {error}"),)
    return found or (_nothing(name, gate.slo, _limit_of(slo, gate)),)


def _limit_of(slo: Slo, gate: SloGate) -> tuple[float, str]:
    if isinstance(slo, RatioSlo):
        return (slo.target if gate.target is None else gate.target), "ratio"
    return parse_limit(gate.at_most or slo.at_most)


def _ratio(slo: RatioSlo, gate: SloGate, name: str, history: History, window: Window) -> Iterator[GateResult]:
    limit, unit = _limit_of(slo, gate)
    for group, good, total in ratios(history, slo, gate.where, window):
        label = _label(name, slo, group)
        if total == 0:
            yield _nothing(label, gate.slo, (limit, unit))
            continue
        low, high = ratio_bounds(good, total)
        verdict = Verdict.PASSED if low >= limit else Verdict.FAILED if high < limit else Verdict.INCONCLUSIVE
        needs, reason = None, f"{good:,} of {total:,} are good"
        if verdict is Verdict.INCONCLUSIVE:
            needs = more_for_ratio(good, total, limit)
            reason += (
                f"; at this rate it takes {needs:,} more samples to claim {_percent(limit)}"
                if needs is not None
                else f"; more samples at this rate would not show {_percent(limit)}"
            )
        yield GateResult(
            name=label,
            verdict=verdict,
            value=good / total,
            interval=(low, high),
            limit=limit,
            samples=total,
            unit=unit,
            reason=reason,
            slo=gate.slo,
            needs=needs,
        )


def _percentile(
    slo: PercentileSlo, gate: SloGate, name: str, history: History, window: Window
) -> Iterator[GateResult]:
    limit, unit = _limit_of(slo, gate)
    for group, found in values(history, slo, gate.where, window):
        label = _label(name, slo, group)
        if not found:
            yield _nothing(label, gate.slo, (limit, unit))
            continue
        low, high = percentile_bounds(found, slo.percentile)
        verdict = Verdict.PASSED if high <= limit else Verdict.FAILED if low > limit else Verdict.INCONCLUSIVE
        needs, reason = None, f"{slo.percentile:g}th percentile of {len(found):,} samples"
        if verdict is Verdict.INCONCLUSIVE:
            least = samples_for_percentile(slo.percentile)
            if len(found) < least:
                needs = least - len(found)
                reason += f"; a bound takes at least {least:,}, {needs:,} more"
            else:
                needs = len(found)
                reason += "; the limit lies within its interval, about twice as many may tell"
        value = percentile(found, slo.percentile)
        yield GateResult(
            name=label,
            verdict=verdict,
            value=value if math.isfinite(value) else None,
            interval=(max(low, found[0]), high) if math.isfinite(high) else None,
            limit=limit,
            samples=len(found),
            unit=unit,
            reason=reason,
            slo=gate.slo,
            needs=needs,
        )


def _event(history: History, gate: EventGate) -> GateResult:
    name = gate_name(gate)
    try:
        seen = history.query(f"SELECT t_s FROM events WHERE event = {_text(gate.event)} ORDER BY t_s")
    except HistoryError as error:
        return _broken(name, None, f"cannot be computed: {error}")
    times = [float(row[0]) for row in seen]
    waits: list[float] = []
    missed: list[str] = []
    for fault in history.facts.faults:
        moment = _moment(fault, gate.of)
        if moment is None:
            return replace(
                _nothing(name, None, (gate.within, "s")), kind="event", reason=f"{fault.name} did not happen"
            )
        first = next((time for time in times if time >= moment), None)
        if first is None or first - moment > gate.within:
            missed.append(fault.name)
        else:
            waits.append(first - moment)
    if not history.facts.faults:
        return replace(_nothing(name, None, (gate.within, "s")), kind="event", reason="there was no fault")
    verdict = Verdict.FAILED if missed else Verdict.PASSED
    since = "its start" if gate.of == "fault" else "its end"
    reason = (
        f"no {gate.event} within {gate.within:g} s of {since}: {', '.join(missed)}"
        if missed
        else f"seen {max(waits):.2f} s after {since} at the latest"
    )
    return GateResult(
        name=name,
        verdict=verdict,
        value=None if missed else max(waits),
        interval=None,
        limit=gate.within,
        samples=len(times),
        unit="s",
        reason=reason,
        kind="event",
    )


def _moment(fault: FaultRecord, of: str) -> float | None:
    if of == "recovery":
        return fault.applied_at_s if fault.for_s == 0 else fault.undone_at_s
    return fault.applied_at_s


def judge_invariant(history: History, invariant: InvariantRecord) -> GateResult:
    """Not one row may violate it."""
    try:
        ((rows, violated),) = history.query(
            f'SELECT count(*), count(*) FILTER (WHERE {invariant.violated}) FROM "{invariant.table}"'
        )
    except HistoryError as error:
        return replace(_broken(invariant.name, None, f"cannot be computed: {error}"), kind="invariant")
    if not rows:
        return replace(_nothing(invariant.name, None, (0.0, "count")), kind="invariant")
    return GateResult(
        name=invariant.name,
        verdict=Verdict.FAILED if violated else Verdict.PASSED,
        value=float(violated),
        interval=None,
        limit=0.0,
        samples=int(rows),
        unit="count",
        reason=f"{violated:,} of {rows:,} rows of {invariant.table} violate it: {invariant.protects}",
        kind="invariant",
    )


def _label(name: str, slo: Slo, group: str) -> str:
    return name if slo.by is None else f"{name}[{group}]"


def _percent(ratio: float) -> str:
    return f"{ratio * 100:.10g} %"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _nothing(name: str, slo: str | None, limit: tuple[float, str]) -> GateResult:
    return GateResult(
        name=name,
        verdict=Verdict.INCONCLUSIVE,
        value=None,
        interval=None,
        limit=limit[0],
        samples=0,
        unit=limit[1],
        reason="no samples: nothing can be said",
        slo=slo,
    )


def _broken(name: str, slo: str | None, reason: str) -> GateResult:
    return GateResult(
        name=name,
        verdict=Verdict.ERROR,
        value=None,
        interval=None,
        limit=None,
        samples=0,
        unit="",
        reason=reason,
        slo=slo,
    )
