"""What gates that compare an SLI on two sets of rows have in common: a margin, and a verdict with confidence.

`compare_slo` is all of it but the reading of a file: it serves two windows of one run and two runs alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.diagnostics import Code, Diagnostic
from harness.errors import InvalidValue
from harness.gates.base import CheckContext, Objective
from harness.gates.result import GateResult, Verdict, no_samples
from harness.gates.rows import SURE, VALUE, RowSource, limits_verdict
from harness.gates.slo_based import SloBasedGate
from harness.history.metadata import HistoryError
from harness.history.read import History
from harness.sli.clients import cluster_sql, missing_clients
from harness.sli.comparison import Comparison, Samples, compare
from harness.sli.formatting import quantity
from harness.sli.means import MIN_CLUSTERS
from harness.sli.percentile import PercentileSlo
from harness.sli.query import EVERYTHING, Window
from harness.sli.ratio import RatioSlo
from harness.sli.statistics import CONFIDENCE
from harness.sli.threshold import Threshold, parse_threshold

RELATIVE = "relative"
"""The unit of a margin that is a share of the first side's value."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two sets of rows, and what a reason calls it. `where`: besides that of the objective."""

    name: str
    history: History
    window: Window = EVERYTHING
    where: str | None = None


class ComparingGate(SloBasedGate):
    """The SLI is not worse than on other rows by more than `margin`, with confidence."""

    margin: str
    """How much worse is still alike: 1% of the rows for a ratio, 50ms for a percentile of seconds."""

    def check(self, context: CheckContext) -> Iterator[Diagnostic]:
        yield from super().check(context)
        try:
            margin = parse_threshold(self.margin)
        except InvalidValue as error:
            yield error.diagnostic.below(("margin",))
            return
        slo = (context.slos or {}).get(self.slo_name)
        if slo is None:
            return
        try:
            unit = margin_unit(slo.threshold({}))
        except InvalidValue:
            return  # reported where the SLO is
        if margin.unit != unit:
            found = f"'{self.margin}' is in {margin.unit}"
            yield Diagnostic(Code.BAD_UNIT, found, f"{self.slo_name} is in {unit}", path=("margin",))
        elif not margin.value > 0:
            yield Diagnostic(Code.OUT_OF_RANGE, "the margin is 0", "must be > 0", path=("margin",))


def margin_unit(threshold: Threshold) -> str:
    return "share" if threshold.unit == "ratio" else threshold.unit


def compare_slo(name: str, objective: Objective, margin: Threshold, first: Side, second: Side) -> GateResult:
    """Whether the SLI of the second side is worse than that of the first by no more than the margin."""
    return compare_pooled(name, objective, margin, [first], [second])


def compare_pooled(
    name: str,
    objective: Objective,
    margin: Threshold,
    first: Sequence[Side],
    second: Sequence[Side],
    confidence: float = CONFIDENCE,
) -> GateResult:
    """As `compare_slo`, of both sides in several runs. A client is the same one on both sides of one seed only.

    Passed when the bound of the difference on the bad side is within it, failed when the one on the good side is beyond
    it. `value` is the difference: of the shares of bad rows, or of the percentiles. Raises HistoryError.
    """
    unit = margin_unit(objective.threshold)
    if margin.unit not in (unit, RELATIVE):
        raise HistoryError(f"the margin is in {margin.unit}; the SLO is in {unit}")
    rows, missing = [], []
    for sides in (first, second):
        parts = [slo_samples(side, objective) for side in sides]
        missing.append([_missing(side, objective) for side in sides])
        for side, samples in zip(sides, parts, strict=True):
            if not samples.values:
                seed = f" with seed {side.history.environment.seed}" if len(sides) > 1 else ""
                return no_samples(
                    name, threshold=margin.value, unit=unit, reason=f"no samples {side.name}{seed}"
                )
        rows.append(
            Samples(
                tuple(value for samples in parts for value in samples.values),
                tuple(client for samples in parts for client in samples.clients),
            )
        )
    percent = objective.slo.percentile_of()
    found = compare(rows[0], rows[1], percent, confidence)
    if margin.unit == RELATIVE:
        margin = Threshold(margin.value * found.first, unit)
    verdict, outcome = _verdict(found, margin)
    silent, bounded = sum(map(sum, missing)), None
    if verdict is Verdict.PASSED and silent:
        worst = math.inf if percent is not None else 1.0
        least = min(rows[0].values) if percent is not None else 0.0
        bounded = compare(
            _with_missing(rows[0], first, missing[0], least),
            _with_missing(rows[1], second, missing[1], worst),
            percent,
            confidence,
        )
        if _verdict(bounded, margin)[0] is not Verdict.PASSED:
            verdict, effect = Verdict.INCONCLUSIVE, bounded.effect
            figure = "no finite difference" if effect is None else f"{_format(effect, unit)} worse"
            clients = f"{silent:,} client{'' if silent == 1 else 's'} did not report: {figure} if they are the worst"
            outcome = f", but {clients}; at most {_format(margin.value, unit)} is undecided"
    before, after = (_format(value, unit) for value in (found.first, found.second))
    what = "are bad" if percent is None else f"is p{percent:g}"
    interval = (
        "" if found.interval is None else " [{}, {}]".format(*(_format(one, unit) for one in found.interval))
    )
    return GateResult(
        name=name,
        verdict=verdict,
        reason=f"{before} {what} {first[0].name}, {after} {second[0].name}: "
        + (
            "no finite difference"
            if found.effect is None
            else f"{_format(found.effect, unit)}{interval} worse"
        )
        + f"{outcome} ({found.clients:,} clients)",
        value=found.effect,
        interval=found.interval,
        threshold=margin.value if math.isfinite(margin.value) else None,
        unit=unit,
        samples=sum(len(samples.values) for samples in rows),
        missing=silent,
        bounded=None if bounded is None or bounded.effect is None else bounded.effect,
    )


def _missing(side: Side, objective: Objective) -> int:
    """How many clients may have had one row more on that side."""
    return missing_clients(side.history, objective.slo, side.window.start_s, side.window.end_s).get(None, 0)


def _with_missing(samples: Samples, sides: Sequence[Side], missing: Sequence[int], value: float) -> Samples:
    """With one row of each missing client, of this value. Clients that are missing on both sides are not paired."""
    more = [
        (side.history.environment.seed, f"missing {index} {side.name}")
        for side, count in zip(sides, missing, strict=True)
        for index in range(count)
    ]
    return Samples((*samples.values, *[value] * len(more)), (*samples.clients, *more))


def _verdict(found: Comparison, margin: Threshold) -> tuple[Verdict, str]:
    most = _format(margin.value, margin.unit)
    if found.interval is not None:
        verdict = limits_verdict(*found.interval, at_least=None, at_most=margin.value)
        text = {Verdict.PASSED: "at most", Verdict.FAILED: "more than"}.get(
            verdict, "undecided whether at most"
        )
        return verdict, f", {text} {most}"
    if math.isfinite(found.first) and not math.isfinite(found.second):
        return Verdict.FAILED, f", more than {most}"
    if found.effect is None:
        return Verdict.INCONCLUSIVE, ""
    return Verdict.INCONCLUSIVE, f"; a comparison takes {MIN_CLUSTERS} clients on each side"


def _format(value: float, unit: str) -> str:
    return (
        "-" + quantity(-value, unit)
        if value < 0
        else quantity(value, unit)
        if math.isfinite(value)
        else "unbounded"
    )


def slo_samples(side: Side, objective: Objective) -> Samples:
    """What the SLO measures in each row of the side, with its seed and client; the unknown is the worst."""
    slo, history = objective.slo, side.history
    if isinstance(slo, RatioSlo):
        bad = f"NOT ({slo.good}\n)" if slo.good is not None else f"({slo.bad}\n)"
        value, worst = f"CASE WHEN {bad} THEN 1 WHEN NOT ({bad}) THEN 0 END", 1.0
    elif isinstance(slo, PercentileSlo):
        value, worst = slo.value, math.inf
    else:
        raise HistoryError(f"a {slo.kind} cannot be compared")
    conditions = [f"({one}\n)" for one in (slo.where, objective.where, side.where) if one is not None]
    source = RowSource(history, slo.table, " AND ".join(conditions) or None, slo.at)
    rows = history.query(
        f"SELECT CASE WHEN {SURE} THEN {VALUE} END, {cluster_sql(history, slo)} "
        f"FROM {source.sql(side.window, value)} ORDER BY t_s, 1, 2"
    )
    return Samples(
        tuple(worst if value is None else float(value) for value, _ in rows),
        tuple((history.environment.seed, client) for _, client in rows),
    )
