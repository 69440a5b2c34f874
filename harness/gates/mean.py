"""`mean`: the mean of a number is at most a threshold, with confidence."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, ClassVar

from harness.gates.base import JudgeContext, PooledRun
from harness.gates.extreme import ValueGate
from harness.gates.registry import gate_kind
from harness.gates.result import GateResult, Verdict, no_samples
from harness.gates.rows import (
    SURE,
    VALUE,
    RowSource,
    cluster_sql,
    limits_verdict,
    silent_clients,
    silent_text,
)
from harness.history.read import History
from harness.sli.base import interval_text
from harness.sli.formatting import quantity
from harness.sli.means import MIN_CLUSTERS, mean_bounds
from harness.sli.query import windows
from harness.sli.threshold import parse_threshold


@gate_kind
class MeanGate(ValueGate):
    """The mean is at most this, with confidence. The values of one client count as one cluster (`mean_bounds`).

    A value that is unknown may be of any size: then the mean has no bound, and the gate is inconclusive.
    """

    key: ClassVar = "mean"
    threshold_key: ClassVar = "at_most"

    mean: str
    """What is measured: an SQL expression in seconds, bit/s or bytes."""
    at_most: str
    """The largest mean, with its unit."""

    def judge(self, history: History, context: JudgeContext) -> Iterable[GateResult]:
        return self.judge_pooled([PooledRun(history)], context)

    def judge_pooled(self, runs: Sequence[PooledRun], context: JudgeContext) -> Iterable[GateResult]:
        threshold = parse_threshold(self.at_most)
        rows: list[tuple[float | None, Hashable]] = []
        for run in runs:
            values = self._values(run.history)
            if all(value is None for value, _ in values):
                seed = f" with seed {run.seed}" if len(runs) > 1 else ""
                reason = f"no samples{seed}"
                return [
                    no_samples(context.name, threshold=threshold.value, unit=threshold.unit, reason=reason)
                ]
            rows += [(value, (run.seed, client)) for value, client in values]
        known = [(float(value), cluster) for value, cluster in rows if value is not None]
        found = mean_bounds(
            [value for value, _ in known], [cluster for _, cluster in known], context.confidence
        )
        unknown = len(rows) - len(known)
        silent = sum(silent_clients(run.history, self.table) for run in runs)
        verdict, needs = Verdict.INCONCLUSIVE, None
        if found.interval is None:
            needs = MIN_CLUSTERS - found.clusters
            outcome = f"; a mean takes at least {MIN_CLUSTERS} clients, {needs} more"
        elif unknown or silent:
            outcome = f"; it has no bound, as {unknown + silent:,} values are unknown"
        else:
            verdict = limits_verdict(*found.interval, at_least=None, at_most=threshold.value)
            outcome = {
                Verdict.PASSED: ", at most ",
                Verdict.FAILED: ", more than ",
                Verdict.INCONCLUSIVE: "; undecided whether at most ",
            }[verdict] + quantity(threshold.value, threshold.unit)
        figure = interval_text(found.value, found.interval, threshold)
        return [
            GateResult(
                name=context.name,
                verdict=verdict,
                reason=f"the mean of {len(known):,} values of {found.clusters:,} clients is {figure}{outcome}"
                f"{silent_text(silent)}",
                value=found.value,
                interval=found.interval,
                threshold=threshold.value,
                unit=threshold.unit,
                samples=len(rows),
                unknown=unknown,
                needs=needs,
            )
        ]

    def _values(self, history: History) -> list[tuple[Any, ...]]:
        """Of each row what is measured, None where it is unknown, and its client."""
        client = cluster_sql(history, self.table)
        source = RowSource(history, self.table, self.where, self.at)
        sql = source.sql(windows(history)[self.during], self.expression)
        return history.query(
            f"SELECT CASE WHEN {SURE} THEN {VALUE} END, {client} FROM {sql} ORDER BY t_s, 1, 2"
        )
