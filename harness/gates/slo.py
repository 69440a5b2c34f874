"""Judging an SLO on the rows of a window. What cannot be judged is never passed: see docs/verdicts.md."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.experiment.model import PercentileSlo, RatioSlo, RecoveredGate, Slo, SloGate
from harness.gates.result import GateResult, Verdict
from harness.history.errors import HistoryError
from harness.history.read import History
from harness.sli.formatting import number, quantity, ratio, ratio_decimals
from harness.sli.query import Window, ratios, values
from harness.sli.statistics import more_samples, percentile, percentile_bounds, ratio_bounds
from harness.sli.threshold import parse_limit


@dataclass(frozen=True, slots=True)
class _Limit:
    value: float
    unit: str


def judge_slo(
    history: History,
    gate: SloGate | RecoveredGate,
    slos: Mapping[str, Slo],
    window: Window,
    name: str,
) -> tuple[GateResult, ...]:
    """An SLO on the rows of a window, with what the gate overrides: one result, or one for each group.

    The groups are those of the whole history, so that one that went silent is inconclusive, not absent.
    An SLO that cannot be computed is an error, one without samples is inconclusive.
    """
    slo_name = gate.recovered if isinstance(gate, RecoveredGate) else gate.slo
    slo = slos.get(slo_name)
    if slo is None:
        return (broken(name, slo_name, f"there is no SLO '{slo_name}'; there are {_listed(slos)}"),)
    try:
        limit = _limit_of(slo, gate)
        found = (
            tuple(_ratio(slo, slo_name, gate.where, limit, name, history, window))
            if isinstance(slo, RatioSlo)
            else tuple(_percentile(slo, slo_name, gate.where, limit, name, history, window))
        )
    except (HistoryError, ValueError) as error:
        return (broken(name, slo_name, f"cannot be computed: {error}"),)
    return found or (no_samples(name, slo_name, limit.value, limit.unit),)


def _limit_of(slo: Slo, gate: SloGate | RecoveredGate) -> _Limit:
    if isinstance(slo, RatioSlo):
        return _Limit(slo.target if gate.target is None else gate.target, "ratio")
    return _Limit(*parse_limit(slo.at_most if gate.at_most is None else gate.at_most))


def _ratio(
    slo: RatioSlo,
    slo_name: str,
    where: str | None,
    limit: _Limit,
    name: str,
    history: History,
    window: Window,
) -> Iterator[GateResult]:
    for group, good, total in ratios(history, slo, where, window):
        label = _label(name, slo, group)
        if total == 0:
            yield no_samples(label, slo_name, limit.value, limit.unit)
            continue
        low, high = ratio_bounds(good, total)
        verdict = _verdict(holds=low >= limit.value, breached=high < limit.value)
        needs = more_samples(good, total, limit.value) if verdict is Verdict.INCONCLUSIVE else None
        shown = _shown(good / total, (low, high), limit)
        aim = f"at least {ratio(limit.value, max(1, ratio_decimals(limit.value) - 1))}"
        yield GateResult(
            name=label,
            verdict=verdict,
            value=good / total,
            interval=(low, high),
            threshold=limit.value,
            samples=total,
            unit=limit.unit,
            reason=f"{shown} of {_samples(total)} are good, {_said(verdict, aim, needs)}",
            slo=slo_name,
            needs=needs,
        )


def _percentile(
    slo: PercentileSlo,
    slo_name: str,
    where: str | None,
    limit: _Limit,
    name: str,
    history: History,
    window: Window,
) -> Iterator[GateResult]:
    for group, found in values(history, slo, where, window):
        label = _label(name, slo, group)
        if not found:
            yield no_samples(label, slo_name, limit.value, limit.unit)
            continue
        low, high = percentile_bounds(found, slo.percentile)
        verdict = _verdict(holds=high <= limit.value, breached=low > limit.value)
        needs = None
        if verdict is Verdict.INCONCLUSIVE:
            within = sum(value <= limit.value for value in found)
            needs = more_samples(within, len(found), slo.percentile / 100)
        value = percentile(found, slo.percentile)
        interval = (low, high) if math.isfinite(low) and math.isfinite(high) else None
        aim = f"at most {quantity(limit.value, limit.unit)}"
        worst = sum(value == math.inf for value in found)
        yield GateResult(
            name=label,
            verdict=verdict,
            value=value if math.isfinite(value) else None,
            interval=interval,
            threshold=limit.value,
            samples=len(found),
            unit=limit.unit,
            reason=(
                f"p{slo.percentile:g} {_shown(value, interval, limit)} of {_samples(len(found))}"
                f"{f', {worst:,} of them without a value,' if worst else ''} is {_said(verdict, aim, needs)}"
            ),
            slo=slo_name,
            needs=needs,
        )


def _verdict(*, holds: bool, breached: bool) -> Verdict:
    if holds:
        return Verdict.PASSED
    return Verdict.FAILED if breached else Verdict.INCONCLUSIVE


def _shown(value: float, interval: tuple[float, float] | None, limit: _Limit) -> str:
    def written(figure: float) -> str:
        return quantity(figure, limit.unit, limit.value) if math.isfinite(figure) else "without bound"

    if interval is None:
        return written(value)
    return f"{written(value)} [{written(interval[0])}, {written(interval[1])}]"


def _said(verdict: Verdict, aim: str, needs: int | None) -> str:
    if verdict is Verdict.PASSED:
        return aim
    if verdict is Verdict.FAILED:
        return f"not {aim}"
    more = "no number of samples like these" if needs is None else f"{needs:,} more like these"
    return f"undecided ({aim} is neither shown nor refuted; {more} would tell)"


def _samples(count: int) -> str:
    return f"{number(count)} sample{'' if count == 1 else 's'}"


def _label(name: str, slo: Slo, group: str) -> str:
    return name if slo.by is None else f"{name}[{group}]"


def _listed(names: Sequence[str] | Mapping[str, object]) -> str:
    return ", ".join(names) or "none"


def no_samples(name: str, slo: str | None, limit: float, unit: str, reason: str | None = None) -> GateResult:
    """Inconclusive: there is nothing to judge."""
    return GateResult(
        name=name,
        verdict=Verdict.INCONCLUSIVE,
        value=None,
        interval=None,
        threshold=limit,
        samples=0,
        unit=unit,
        reason=reason or "no samples: nothing can be said",
        slo=slo,
    )


def broken(name: str, slo: str | None, reason: str) -> GateResult:
    """An error: it cannot be computed."""
    return GateResult(
        name=name,
        verdict=Verdict.ERROR,
        value=None,
        interval=None,
        threshold=None,
        samples=0,
        unit="",
        reason=reason,
        slo=slo,
    )
